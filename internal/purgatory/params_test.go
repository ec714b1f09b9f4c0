package purgatory

import (
	"bytes"
	"crypto/sha256"
	"debug/elf"
	"encoding/binary"
	"errors"
	"os/exec"
	"strings"
	"testing"
)

func TestBlob(t *testing.T) {
	for _, a := range arches {
		blob, err := Blob(a.machine)
		if err != nil {
			t.Fatal(err)
		}
		n := memSize(t, a)
		if uint64(len(blob)) > n-4096 || len(blob) > 6<<10 || n%Align != 0 {
			t.Errorf("%s: %d bytes of code in %d of memory; want up to 6 KiB, and a page left", a.goarch, len(blob), n)
		}
		params := a.offsets(t).params
		if i := bytes.Index(blob, []byte(paramsMagic)); i != params {
			t.Errorf("%s: parameters at %#x; want %#x", a.goarch, i, params)
		}
		if v := a.order(t).Uint32(blob[params+offVersion:]); v != paramsVersion {
			t.Errorf("%s: parameters of version %d; want %d", a.goarch, v, paramsVersion)
		}
		// elfcorehdr updates look for a segment that begins like an ELF file.
		if bytes.HasPrefix(blob, []byte(elf.ELFMAG)) {
			t.Errorf("%s: begins like an ELF file", a.goarch)
		}
		blob[0] ^= 0xff
		if again, _ := Blob(a.machine); again[0] == blob[0] {
			t.Errorf("%s: Blob gives away the embedded code, not a copy", a.goarch)
		}
	}
	for _, machine := range []elf.Machine{elf.EM_NONE, elf.EM_386, elf.EM_PPC} {
		if _, err := Blob(machine); !errors.Is(err, ErrUnsupported) {
			t.Errorf("Blob(%v) = %v; want ErrUnsupported", machine, err)
		}
		if _, err := MemSize(machine); !errors.Is(err, ErrUnsupported) {
			t.Errorf("MemSize(%v) = %v; want ErrUnsupported", machine, err)
		}
		if err := (&Params{Entry: 4}).Patch(machine, nil); !errors.Is(err, ErrUnsupported) {
			t.Errorf("Patch(%v) = %v; want ErrUnsupported", machine, err)
		}
	}
}

func TestPatch(t *testing.T) {
	p := Params{
		Entry:      0x1122334455667700,
		Arg:        0x2233445566778899,
		Regions:    []Region{{0x1000, 0x40}, {0xffff_ffff_ffff_f000, 0xfc0}},
		SkipChecks: true,
		SME:        true,
		Backup:     Backup{1, 2, 3},
		Serial:     Serial{Kind: SerialPL011, Addr: 0x9000000},
	}
	for i := range p.Digest {
		p.Digest[i] = byte(0xa0 + i)
	}
	a := arches[1]
	blob := patched(t, a, &p)
	row, _ := targetOf(a.machine)
	orig, off := row.code, row.offsets
	end := off.params + sizeParams
	if !bytes.Equal(blob[:off.params+offFlags], orig[:off.params+offFlags]) || !bytes.Equal(blob[end:], orig[end:]) {
		t.Error("Patch changed more than the parameters")
	}
	b := blob[off.params:end]
	for _, f := range []struct {
		name string
		off  int
		want uint64
	}{
		{"flags", 0x10, 3}, {"regions", 0x18, 2}, {"entry", 0x20, p.Entry}, {"argument", 0x28, p.Arg},
		{"backup source", 0x30, 1}, {"backup size", 0x38, 2}, {"backup destination", 0x40, 3},
		{"serial address", 0x48, 0x9000000}, {"serial kind and divisor", 0x50, 4}, {"reserved", 0x58, 0},
		{"digest", 0x60, 0xa7a6a5a4a3a2a1a0}, {"digest", 0x78, 0xbfbebdbcbbbab9b8},
		{"region 0", 0x80, 0x1000}, {"its length", 0x88, 0x40},
		{"region 1", 0x90, 0xffff_ffff_ffff_f000}, {"its length", 0x98, 0xfc0}, {"region 2", 0xa0, 0},
	} {
		if got := binary.LittleEndian.Uint64(b[f.off:]); got != f.want {
			t.Errorf("%s at %#x = %#x; want %#x", f.name, f.off, got, f.want)
		}
	}
	for _, text := range []struct {
		off  int
		want string
	}{{offMismatch, MismatchText}, {offFault, FaultText}} {
		if got, _, ok := strings.Cut(string(b[text.off:text.off+textSize]), "\x00"); !ok || got != text.want+"\r\n" {
			t.Errorf("text at %#x = %q; want %q", text.off, got, text.want+"\r\n")
		}
	}

	// A second Patch leaves nothing of the first.
	q := Params{Entry: 4}
	if err := q.Patch(a.machine, blob); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(blob, patched(t, a, &q)) {
		t.Error("Patch over other parameters differs from Patch over none")
	}
}

func TestPatchRefuses(t *testing.T) {
	const x86, arm, riscv = elf.EM_X86_64, elf.EM_AARCH64, elf.EM_RISCV
	port := func(addr uint64, baud uint32) func(*Params) {
		return func(p *Params) { p.Serial = Serial{Serial8250Port, addr, baud} }
	}
	serial := func(kind SerialKind, addr uint64) func(*Params) {
		return func(p *Params) { p.Serial = Serial{Kind: kind, Addr: addr} }
	}
	region := func(start, size uint64) func(*Params) {
		return func(p *Params) { p.Regions = []Region{{start, size}} }
	}
	backup := func(src, size, dst uint64) func(*Params) {
		return func(p *Params) { p.Backup = Backup{src, size, dst} }
	}
	for _, test := range []struct {
		name    string
		machine elf.Machine
		set     func(*Params)
		wantErr string // "" if it is fine
	}{
		{"plain", x86, func(*Params) {}, ""},
		{"no entry", x86, func(p *Params) { p.Entry = 0 }, "entry point 0"},
		{"odd entry", x86, func(p *Params) { p.Entry = 0x1001 }, ""},
		{"odd entry", arm, func(p *Params) { p.Entry = 0x1002 }, "entry point 0x1002 is not aligned for an instruction"},
		{"odd entry", riscv, func(p *Params) { p.Entry = 0x1001 }, "entry point 0x1001 is not aligned for an instruction"},
		{"half-word entry", riscv, func(p *Params) { p.Entry = 0x1002 }, ""},
		{"SME", arm, func(p *Params) { p.SME = true }, ""},
		{"SME", x86, func(p *Params) { p.SME = true }, "SME on EM_X86_64"},
		{"16 regions", x86, func(p *Params) { p.Regions = make([]Region, 16) }, ""},
		{"17 regions", x86, func(p *Params) { p.Regions = make([]Region, 17) }, "17 regions; at most 16"},
		{"start", x86, region(0x1020, 64), "region 0, 0x40 bytes at 0x1020: not in units of 64 bytes"},
		{"length", x86, region(0x1000, 65), "region 0, 0x41 bytes at 0x1000: not in units of 64 bytes"},
		{"wrap", x86, region(0xffff_ffff_ffff_ffc0, 0x80), "region 0, 0x80 bytes at 0xffffffffffffffc0: beyond 64 bits"},
		{"backup", x86, backup(0, 0xa0000, 0xa0000), ""},
		{"backup before", x86, backup(0x1000, 0x1000, 0), ""},
		{"backup overlaps", x86, backup(0x1000, 0x1000, 0x1fff), "backup of 0x1000 bytes from 0x1000 to 0x1fff: they overlap"},
		{"backup overlaps", x86, backup(0x1fff, 0x1000, 0x1000), "backup of 0x1000 bytes from 0x1fff to 0x1000: they overlap"},
		{"backup wraps", x86, backup(^uint64(0), 2, 0x1000), "backup of 0x2 bytes from 0xffffffffffffffff to 0x1000: beyond 64 bits"},
		{"backup wraps", x86, backup(0x1000, 2, ^uint64(0)), "backup of 0x2 bytes from 0x1000 to 0xffffffffffffffff: beyond 64 bits"},
		{"no backup", x86, backup(0x1000, 0, 0x1000), ""},
		{"port", x86, port(0x3f8, 0), ""},
		{"baud", x86, port(0x3f8, 9600), ""},
		{"slow", x86, port(0x3f8, 2), ""},
		{"too slow", x86, port(0x3f8, 1), "baud rate 1 does not divide 115200"},
		{"too fast", x86, port(0x3f8, 230400), "baud rate 230400 does not divide 115200"},
		{"odd baud", x86, port(0x3f8, 9601), "baud rate 9601 does not divide 115200"},
		{"port 0", x86, port(0, 0), "serial port at 0x0"},
		{"high port", x86, port(0xfff9, 0), "serial port at 0xfff9"},
		{"port without a kind", x86, serial(SerialNone, 0x3f8), "serial port 0x3f8 of no kind"},
		{"port", arm, port(0x3f8, 0), "serial port of kind 1 on EM_AARCH64"},
		{"MMIO", x86, serial(Serial8250MMIO, 0xfe000000), "serial port of kind 2 on EM_X86_64"},
		{"MMIO", arm, serial(Serial8250MMIO, 0xfe000001), ""},
		{"MMIO32", riscv, serial(Serial8250MMIO32, 0xfe000000), ""},
		{"MMIO32", arm, serial(Serial8250MMIO32, 0xfe000002), "serial port at 0xfe000002"},
		{"PL011", riscv, serial(SerialPL011, 0x9000000), "serial port of kind 4 on EM_RISCV"},
		{"PL011 with a rate", arm, func(p *Params) { p.Serial = Serial{SerialPL011, 0x9000000, 9600} }, "baud rate 9600 for a serial port whose clock is not known"},
		{"SBI", riscv, serial(SerialSBI, 0), ""},
		{"SBI", riscv, serial(SerialSBI, 8), "a firmware's console has no address, got 0x8"},
		{"SBI", arm, serial(SerialSBI, 0), "serial port of kind 5 on EM_AARCH64"},
		{"unknown kind", x86, serial(6, 0x3f8), "serial port of kind 6 on EM_X86_64"},
	} {
		p := Params{Entry: 0x1000}
		test.set(&p)
		blob, err := Blob(test.machine)
		if err != nil {
			t.Fatal(err)
		}
		got := ""
		if err := p.Patch(test.machine, blob); err != nil {
			if !errors.Is(err, ErrParams) {
				t.Errorf("%s: Patch(%v) = %v; want ErrParams", test.name, test.machine, err)
			}
			got = strings.TrimPrefix(err.Error(), ErrParams.Error()+": ")
		}
		if got != test.wantErr {
			t.Errorf("%s: Patch(%v) = %q; want %q", test.name, test.machine, got, test.wantErr)
		}
	}
	// Another machine's code, or none.
	other, _ := Blob(arm)
	for _, blob := range [][]byte{nil, other, make([]byte, len(codeAMD64))} {
		if err := (&Params{Entry: 4}).Patch(x86, blob); !errors.Is(err, ErrParams) {
			t.Errorf("Patch on %d other bytes = %v; want ErrParams", len(blob), err)
		}
	}
}

func TestDigest(t *testing.T) {
	big := make([]byte, 200<<10)
	big[0], big[len(big)-1] = 1, 2
	for _, test := range []struct {
		name     string
		segments []Segment
		want     []byte // what is hashed
	}{
		{"none", nil, nil},
		{"full", []Segment{{[]byte("abc"), 3}}, []byte("abc")},
		{"filled", []Segment{{[]byte("abc"), 5}, {[]byte("d"), 1}}, []byte("abc\x00\x00d")},
		{"zeros", []Segment{{nil, 200 << 10}}, make([]byte, 200<<10)},
		{"large", []Segment{{big, 200 << 10}, {nil, 0}}, big},
	} {
		got, err := Digest(test.segments)
		if want := sha256.Sum256(test.want); err != nil || got != want {
			t.Errorf("Digest(%s) = %x, %v; want %x", test.name, got, err, want)
		}
	}
	if _, err := Digest([]Segment{{nil, 1}, {[]byte("abc"), 2}}); !errors.Is(err, ErrParams) {
		t.Errorf("Digest of 3 bytes in 2 = %v; want ErrParams", err)
	}
}

// The embedded code is what the sources give.
func TestGenerated(t *testing.T) {
	if _, err := exec.LookPath("go"); err != nil {
		missing(t, "no Go toolchain in PATH")
	}
	if out, err := exec.Command("go", "run", "./gen", "-check").CombinedOutput(); err != nil {
		t.Errorf("gen -check: %v\n%s", err, out)
	}
}
