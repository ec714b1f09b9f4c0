//go:build purgatory && (amd64 || arm64 || ppc64le || riscv64 || s390x)

// The test harness's machine code, built like the purgatory itself: it calls
// the purgatory's verify in user mode, or enters the whole blob on a bare machine
// in the state that the kernel leaves, and stands in for the kernel it enters.
package main

// entry is where the bare machine starts, user where a user-mode process does,
// kernel what the purgatory is told to jump to.
func entry()
func user()
func kernel()
func end()

func main() {
	entry()
	user()
	kernel()
	end()
}
