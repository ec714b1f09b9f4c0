package purgatory

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// The purgatory's subroutine verify, run as a process of its own: an ELF file with
// the blob, the harness and the memory it looks at.

const (
	userHarness = 0x10000000
	userBlob    = 0x20000000
)

// userRun is one call of verify.
type userRun struct {
	params Params
	memory []chunk
	accel  bool
	dump   Region
}

// result is what became of it: verify's return value and the dumped memory.
type result struct {
	status int
	memory []byte
}

// emulator returns the command that runs a process of the architecture, and
// whether it has the SHA-256 instructions there.
func emulator(t testing.TB, a arch) (command []string, accel bool) {
	t.Helper()
	if runtime.GOARCH == a.goarch && runtime.GOOS == "linux" {
		info, err := os.ReadFile("/proc/cpuinfo")
		if err != nil {
			t.Fatal(err)
		}
		words := strings.Fields(string(info))
		has := make(map[string]bool, len(words))
		for _, w := range words {
			has[w] = true
		}
		return nil, a.goarch == "amd64" && has["sha_ni"] && has["ssse3"] && has["sse4_1"] || a.goarch == "arm64" && has["sha2"]
	}
	name := map[string]string{"amd64": "qemu-x86_64", "arm64": "qemu-aarch64", "riscv64": "qemu-riscv64", "ppc64le": "qemu-ppc64le", "s390x": "qemu-s390x"}[a.goarch]
	path, err := exec.LookPath(name)
	if err != nil {
		missing(t, "%s is not installed (Debian: qemu-user)", name)
	}
	return []string{path}, a.goarch == "arm64"
}

// start writes the program to a file and returns the command that runs it.
func (u *userRun) start(t testing.TB, a arch, emulator []string) *exec.Cmd {
	t.Helper()
	accel := uint64(0)
	if u.accel {
		accel = 1
	}
	u.params.Entry = 0x1000
	off := a.offsets(t)
	memory := append([]chunk{
		{userHarness, harness(t, a,
			harnessBlob, userBlob+uint64(off.params), harnessVerify, userBlob+uint64(off.verify), harnessAccel, accel,
			harnessDump, u.dump.Start, harnessDumpLen, u.dump.Len), 0x1000},
		{userBlob, patched(t, a, &u.params), memSize(t, a)},
	}, u.memory...)

	path := filepath.Join(t.TempDir(), "program")
	if err := os.WriteFile(path, executable(t, a, userHarness+uint64(harnessOffsets[a.goarch].user), memory), 0o755); err != nil {
		t.Fatal(err)
	}
	command := append(emulator[:len(emulator):len(emulator)], path)
	return exec.Command(command[0], command[1:]...)
}

func (u *userRun) run(t testing.TB, a arch, emulator []string) result {
	t.Helper()
	cmd := u.start(t, a, emulator)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return result{cmd.ProcessState.ExitCode(), out}
}

// executable is an ELF file of one segment for each chunk, all of them writable and
// executable.
func executable(t testing.TB, a arch, entry uint64, memory []chunk) []byte {
	const page = 0x1000
	order := a.order(t)
	encoding := elf.ELFDATA2LSB
	if order == binary.BigEndian {
		encoding = elf.ELFDATA2MSB
	}
	header := elf.Header64{
		Ident:   [16]byte{0x7f, 'E', 'L', 'F', byte(elf.ELFCLASS64), byte(encoding), byte(elf.EV_CURRENT)},
		Type:    uint16(elf.ET_EXEC),
		Machine: uint16(a.machine),
		Version: uint32(elf.EV_CURRENT),
		Entry:   entry,
		Phoff:   64, Ehsize: 64, Phentsize: 56, Phnum: uint16(len(memory)),
	}
	switch a.machine {
	case elf.EM_RISCV:
		header.Flags = 5 // EF_RISCV_RVC, EF_RISCV_FLOAT_ABI_DOUBLE
	case elf.EM_PPC64:
		header.Flags = 2 // ABI version 2
	}
	var head, body bytes.Buffer
	binary.Write(&head, order, &header)
	for _, c := range memory {
		binary.Write(&head, order, &elf.Prog64{
			Type: uint32(elf.PT_LOAD), Flags: uint32(elf.PF_R | elf.PF_W | elf.PF_X),
			Off: uint64(page + body.Len()), Vaddr: c.addr, Paddr: c.addr,
			Filesz: uint64(len(c.data)), Memsz: max(c.memSize, uint64(len(c.data))), Align: page,
		})
		body.Write(c.data)
		body.Write(make([]byte, -len(c.data)&(page-1)))
	}
	head.Write(make([]byte, page-head.Len()))
	return append(head.Bytes(), body.Bytes()...)
}
