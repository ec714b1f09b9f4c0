package vmcore_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/gokexec/gokexec/pkg/vmcore"
)

const vmcoreinfoText = `OSRELEASE=6.12.107+deb13-cloud-amd64
BUILD-ID=8d0e43a1c4f0
PAGESIZE=4096
SYMBOL(init_uts_ns)=ffffffff9fc1b7e0
SIZE(page)=64
OFFSET(page.flags)=0
LENGTH(zone.free_area)=11
NUMBER(PAGE_BUDDY_MAPCOUNT_VALUE)=-129
NUMBER(phys_base)=-268435456
NUMBER(kimage_voffset)=0xffff7fff7d600000
NUMBER(big)=18446744073709551615
KERNELOFFSET=1dc00000
CRASHTIME=1732291200
`

func TestParseVMCoreInfo(t *testing.T) {
	v, err := vmcore.ParseVMCoreInfo([]byte(vmcoreinfoText))
	if err != nil || v.Malformed != nil {
		t.Fatalf("ParseVMCoreInfo() = %v, Malformed %v", err, v.Malformed)
	}
	if v.OSRelease != "6.12.107+deb13-cloud-amd64" || v.PageSize != 4096 || !v.CrashTime.Equal(time.Unix(1732291200, 0)) {
		t.Errorf("OSRelease %q, PageSize %d, CrashTime %v", v.OSRelease, v.PageSize, v.CrashTime)
	}
	for _, tt := range []struct {
		name   string
		get    func(string) (uint64, bool)
		want   uint64
		wantOK bool
	}{
		{"init_uts_ns", v.Symbol, 0xffffffff9fc1b7e0, true},
		{"page", v.Size, 64, true},
		{"page.flags", v.Offset, 0, true},
		{"zone.free_area", v.Length, 11, true},
		{"page", v.Symbol, 0, false},
		{"", v.Offset, 0, false},
	} {
		if got, ok := tt.get(tt.name); got != tt.want || ok != tt.wantOK {
			t.Errorf("(%q) = %#x, %v; want %#x, %v", tt.name, got, ok, tt.want, tt.wantOK)
		}
	}
	kimage := uint64(0xffff7fff7d600000)
	for name, want := range map[string]int64{
		"PAGE_BUDDY_MAPCOUNT_VALUE": -129, "phys_base": -268435456, "kimage_voffset": int64(kimage), "big": -1,
	} {
		if got, ok := v.Number(name); got != want || !ok {
			t.Errorf("Number(%q) = %d, %v; want %d, true", name, got, ok, want)
		}
	}
	if s, ok := v.Lookup("BUILD-ID"); s != "8d0e43a1c4f0" || !ok {
		t.Errorf("Lookup(BUILD-ID) = %q, %v", s, ok)
	}
}

func TestParseVMCoreInfoDamaged(t *testing.T) {
	page := "OSRELEASE=6.1\n\n" + strings.Repeat("SYMBOL(x)=ff\n", 313) // 12 bytes less than a page
	for _, tt := range []struct {
		name, text string
		malformed  string // in the only entry of Malformed
		lost       string // a symbol that must not be known
		wantErr    string
	}{
		{"no line", "", "", "", "no KEY=VALUE line"},
		{"only NUL", strings.Repeat("\x00", 4096), "", "", "no KEY=VALUE line"},
		{"too long", strings.Repeat("A=1\n", 1<<19), "", "", "at most 1048576 are expected"},
		{"garbage line", "OSRELEASE=6.1\ngarbage\nSYMBOL(y)=1\n", `line 2: "garbage" is not KEY=VALUE`, "", ""},
		{"symbol is no number", "OSRELEASE=6.1\nSYMBOL(z)=what\n", `line 2: "SYMBOL(z)=what": value is not a number`, "z", ""},
		{"NUL in a line", "OSRELEASE=6.1\nX=\x00\nB=1\n", "line 2", "", ""},
		{"empty lines and padding", "OSRELEASE=6.1\n\n\nCRASHTIME=5\x00\x00", "", "", ""},
		{"cut off by the end of the page", page + "SYMBOL(z)=ff", "", "z", ""},
		{"the page is padded", "OSRELEASE=6.1\nSYMBOL(kept)=ff" + strings.Repeat("\x00", 4096-14-15), "", "", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			v, err := vmcore.ParseVMCoreInfo([]byte(tt.text))
			if tt.wantErr != "" {
				if err == nil || !strings.Contains(err.Error(), tt.wantErr) {
					t.Errorf("ParseVMCoreInfo() = %v; want %q", err, tt.wantErr)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if v.OSRelease != "6.1" {
				t.Errorf("OSRelease = %q; want 6.1", v.OSRelease)
			}
			if got := fmt.Sprint(v.Malformed); tt.malformed == "" && v.Malformed != nil || !strings.Contains(got, tt.malformed) || len(v.Malformed) > 1 {
				t.Errorf("Malformed = %v; want %q", got, tt.malformed)
			}
			if _, ok := v.Symbol("kept"); ok != strings.Contains(tt.text, "(kept)") {
				t.Errorf("Symbol(kept) known: %v", ok)
			}
			if _, ok := v.Symbol(tt.lost); ok {
				t.Errorf("Symbol(%q) is known", tt.lost)
			}
		})
	}
}

// FuzzParseVMCoreInfo: each line of a well-formed text is found again, whatever surrounds it.
func FuzzParseVMCoreInfo(f *testing.F) {
	f.Add([]byte(vmcoreinfoText), uint64(0xffffffff81000000), int64(-5))
	f.Add([]byte("garbage"), uint64(0), int64(1))
	f.Fuzz(func(t *testing.T, text []byte, addr uint64, number int64) {
		v, err := vmcore.ParseVMCoreInfo(text)
		if err == nil && len(v.Malformed) > bytes.Count(text, []byte("\n"))+1 {
			t.Errorf("%d malformed lines of %d", len(v.Malformed), bytes.Count(text, []byte("\n"))+1)
		}
		if len(text) > 1<<19 {
			return
		}
		all := fmt.Appendf(bytes.Clone(text), "\nSYMBOL(fuzz_sym)=%x\nNUMBER(fuzz_num)=%d\nNUMBER(fuzz_hex)=0x%x\nSIZE(fuzz)=%d\n",
			addr, number, uint64(number), addr)
		v, err = vmcore.ParseVMCoreInfo(all)
		if err != nil {
			t.Fatalf("ParseVMCoreInfo(%q) = %v", all, err)
		}
		sym, _ := v.Symbol("fuzz_sym")
		size, _ := v.Size("fuzz")
		num, _ := v.Number("fuzz_num")
		hex, _ := v.Number("fuzz_hex")
		if sym != addr || size != addr || num != number || hex != number {
			t.Errorf("read %#x, %#x, %d, %d; want %#x, %d", sym, size, num, hex, addr, number)
		}
	})
}
