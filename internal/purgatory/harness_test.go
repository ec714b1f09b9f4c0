package purgatory

import (
	"debug/elf"
	"encoding/binary"
	"os"
	"testing"
)

// The harness's parameter block (testcode/harness.h), offsets in bytes.
const (
	harnessBlob    = 0x08
	harnessVerify  = 0x10
	harnessAccel   = 0x18
	harnessDump    = 0x20
	harnessDumpLen = 0x28
	harnessMode    = 0x30

	modeE2H = 1
	modeSM  = 2
)

// harnessTable holds offsets from the beginning of the harness, in bytes.
type harnessTable struct {
	params int
	user   int
	kernel int
}

// arch is an architecture there is code for.
type arch struct {
	goarch  string
	machine elf.Machine
}

var arches = []arch{
	{"amd64", elf.EM_X86_64},
	{"arm64", elf.EM_AARCH64},
	{"riscv64", elf.EM_RISCV},
	{"ppc64le", elf.EM_PPC64},
	{"s390x", elf.EM_S390},
}

// offsets are those of the code.
func (a arch) offsets(t testing.TB) codeOffsets {
	t.Helper()
	row, err := targetOf(a.machine)
	if err != nil {
		t.Fatal(err)
	}
	return row.offsets
}

// order is that of its numbers.
func (a arch) order(t testing.TB) binary.ByteOrder {
	t.Helper()
	row, err := targetOf(a.machine)
	if err != nil {
		t.Fatal(err)
	}
	return row.order
}

// chunk is memory with data in it, and zeros up to memSize.
type chunk struct {
	addr    uint64
	data    []byte
	memSize uint64
}

// harness returns the test harness with its parameters set: offset, value pairs.
func harness(t testing.TB, a arch, pairs ...uint64) []byte {
	t.Helper()
	b, err := os.ReadFile("testdata/harness_" + a.goarch + ".bin")
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(pairs); i += 2 {
		a.order(t).PutUint64(b[uint64(harnessOffsets[a.goarch].params)+pairs[i]:], pairs[i+1])
	}
	return b
}

// patched returns the purgatory with its parameters set.
func patched(t testing.TB, a arch, p *Params) []byte {
	t.Helper()
	blob, err := Blob(a.machine)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Patch(a.machine, blob); err != nil {
		t.Fatal(err)
	}
	return blob
}

// memSize is MemSize without an error.
func memSize(t testing.TB, a arch) uint64 {
	t.Helper()
	n, err := MemSize(a.machine)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// missing skips the test, or fails it where everything has to run.
func missing(t testing.TB, format string, args ...any) {
	t.Helper()
	if os.Getenv("GOKEXEC_VM_REQUIRED") == "1" {
		t.Fatalf(format, args...)
	}
	t.Skipf("SKIPPED, NOT TESTED: "+format, args...)
}
