package initramfs

import (
	"bytes"
	"debug/elf"
	"strings"
	"testing"
)

// FuzzParseConfig: an option counts if and only if a line sets it to y.
func FuzzParseConfig(f *testing.F) {
	f.Add("# CONFIG_B is not set\nCONFIG_A=y\nCONFIG_C=m\n")
	f.Fuzz(func(t *testing.T, s string) {
		c, err := parseConfig([]byte(s))
		if err != nil {
			return
		}
		var b strings.Builder
		for o := range c {
			if !strings.Contains(s, o+"=y") {
				t.Fatalf("parseConfig(%q) has %q", s, o)
			}
			b.WriteString(o + "=y\n")
		}
		again, err := parseConfig([]byte(b.String()))
		if err != nil || len(again) != len(c) {
			t.Fatalf("parseConfig(%q) = %v, %v; want %v", b.String(), again, err, c)
		}
	})
}

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
