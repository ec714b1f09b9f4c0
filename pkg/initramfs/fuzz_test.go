package initramfs

import (
	"bytes"
	"debug/elf"
	"testing"
)

// FuzzReadProgram: what is taken as a static program has no interpreter, and
// none of its segments is cut off.
func FuzzReadProgram(f *testing.F) {
	f.Add(program(elf.EM_X86_64, 0))
	f.Add(program(elf.EM_S390, elf.PT_INTERP))
	f.Fuzz(func(t *testing.T, b []byte) {
		if _, err := readProgram(bytes.NewReader(b), int64(len(b))); err != nil {
			return
		}
		e, err := elf.NewFile(bytes.NewReader(b))
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range e.Progs {
			if p.Type == elf.PT_INTERP {
				t.Fatal("readProgram takes a program with PT_INTERP")
			}
			if p.Type == elf.PT_LOAD && p.Filesz > uint64(len(b)) {
				t.Fatalf("readProgram takes a segment of %#x bytes in %#x", p.Filesz, len(b))
			}
		}
	})
}
