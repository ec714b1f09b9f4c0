//go:build purgatory && (amd64 || arm64 || ppc64le || riscv64 || s390x)

// The purgatory's machine code, as a program that is linked but never run:
// package gen cuts the code out of the linked file. The build tag keeps it out
// of every ordinary build.
//
// The code is linked in the order of the files' names: purgatory_*.s begins with
// entry, table_*.s ends with end.
package main

// entry is the first byte of the code; end lies just after the last one.
func entry()
func end()

func main() {
	entry()
	end()
}
