package plan

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/gokexec/gokexec/internal/imagetest"
	"github.com/gokexec/gokexec/internal/kexectest"
	"github.com/gokexec/gokexec/pkg/advice"
	"github.com/gokexec/gokexec/pkg/cmdline"
	"github.com/gokexec/gokexec/pkg/machine"
	"github.com/gokexec/gokexec/pkg/memmap"
)

// Segments stay where they may be, and no room there is an error.
func TestSegmentBounds(t *testing.T) {
	for _, tt := range []struct {
		name     string
		kind     machine.Kind
		min, max memmap.PhysAddr
		fits     bool
	}{
		{"none", machine.Crash, 0, 0, true},
		{"crash, from below", machine.Crash, 0x38000000, 0, true},
		{"crash, from above", machine.Crash, 0, 0x3bffffff, true},
		{"crash, both", machine.Crash, 0x37000000, 0x3cffffff, true},
		{"crash, elsewhere", machine.Crash, 0, 0x30000000, false},
		{"crash, too small", machine.Crash, 0x37000000, 0x37ffffff, false},
		{"boot", machine.Boot, 0x10000000, 0x1fffffff, true},
		{"boot, odd", machine.Boot, 0x10000001, 0x1ffffffe, true},
		{"boot, above memory", machine.Boot, 1 << 40, 0, false},
		{"upside down", machine.Boot, 0x20000000, 0x10000000, false},
		{"no end", machine.Boot, 0, ^memmap.PhysAddr(0), true},
	} {
		m := kexectest.NewMachine(t)
		spec := segmentSpec(tt.kind, imagetest.SmallBzImage().Bytes())
		spec.Options = SegmentOptions{MemMin: tt.min, MemMax: tt.max}
		p, err := New(m.Host("x86_64"), spec)
		if (err == nil) != tt.fits {
			t.Errorf("%s: New = %v; want room: %v", tt.name, err, tt.fits)
		}
		if err != nil {
			continue
		}
		if err := advice.FirstFailure(p.Check(m.Host("x86_64"))); err != nil {
			t.Errorf("%s: %v", tt.name, err)
		}
		for _, s := range p.Segments {
			if s.Phys < tt.min || tt.max != 0 && s.Range().End-1 > tt.max {
				t.Errorf("%s: %s at %v is outside of %v to %v", tt.name, s.Role, s.Range(), tt.min, tt.max)
			}
		}
	}
}

func TestSegmentBoundsDT(t *testing.T) {
	for _, tt := range dtMachines() {
		host := tt.machine(t).Host(tt.arch)
		region, _ := host.CrashRegion()
		spec := segmentSpec(machine.Crash, tt.kernel)
		spec.Options = SegmentOptions{MemMin: region.Start + 2<<20, MemMax: region.End - 1 - 4<<20, Entry: region.Start + 16<<20}
		p, err := New(host, spec)
		if err != nil {
			t.Errorf("%s: %v", tt.name, err)
			continue
		}
		for _, s := range p.Segments {
			if s.Phys < spec.Options.MemMin || s.Range().End-1 > spec.Options.MemMax {
				t.Errorf("%s: %s at %v is outside of the bounds in %v", tt.name, s.Role, s.Range(), region)
			}
		}
		if p.Entry != spec.Options.Entry {
			t.Errorf("%s: entry %v; want the one asked for", tt.name, p.Entry)
		}
	}
}

// fallBack is BySegments for a plan whose inputs are in memory.
func fallBack(host *machine.Host, p *Plan) (*Plan, error) {
	in, err := Open(p.Spec)
	if err != nil {
		return nil, err
	}
	if _, err := in.Plan(host, File); err != nil {
		return nil, err
	}
	return in.BySegments(host, p)
}

// What a plan by kexec_file_load finds too late for itself is taken over with the choices.
func TestSegmentOptionsFallBack(t *testing.T) {
	host := kexectest.NewMachine(t).Host("x86_64")
	spec := segmentSpec(machine.Crash, imagetest.SmallBzImage().Bytes())
	spec.Method, spec.Options.MemMin = Auto, 0x37000000
	p, err := New(host, spec)
	if err != nil || !p.Fallback {
		t.Fatalf("New = %+v, %v; want a plan by kexec_file_load that can fall back", p, err)
	}
	q, err := fallBack(host, p)
	if err != nil {
		t.Fatal(err)
	}
	if q.Segments[0].Phys < 0x37000000 || q.Spec.Options != spec.Options {
		t.Errorf("the plan fallen back to begins at %v, and notes %+v", q.Segments[0].Phys, q.Spec.Options)
	}
}

func TestSegmentEntry(t *testing.T) {
	spec := segmentSpec(machine.Crash, imagetest.SmallBzImage().Bytes())
	spec.Options.Entry = 0x37000000
	p, err := New(kexectest.NewMachine(t).Host("x86_64"), spec)
	if err != nil || p.Entry != 0x37000000 {
		t.Errorf("entry %v, %v; want the one asked for", p.Entry, err)
	}
}

// A kernel that is to know nothing of EFI gets no trace of it.
func TestNoEFI(t *testing.T) {
	for _, without := range []bool{false, true} {
		spec := segmentSpec(machine.Boot, imagetest.SmallBzImage().Bytes())
		spec.Options.NoEFI = without
		p, err := New(efiMachine(t).Host("x86_64"), spec)
		if err != nil {
			t.Fatal(err)
		}
		params, _ := p.Segment(RoleBootParams)
		_, node := setupList(t, params)[setupEFI]
		if told := le.Uint32(params.Data[machine.OffsetEFIMemmapSize:]) != 0; told == without || node == without {
			t.Errorf("NoEFI %v: efi_info %v, SETUP_EFI %v", without, told, node)
		}
		if le.Uint64(params.Data[machine.OffsetRSDP:]) == 0 {
			t.Errorf("NoEFI %v: the kernel is not told where ACPI's tables are", without)
		}
	}
}

// By memmap= the crash kernel is told of its memory alone, and of nothing else as RAM.
func TestPassMemmap(t *testing.T) {
	host := kexectest.NewMachine(t).Host("x86_64")
	spec := segmentSpec(machine.Crash, imagetest.SmallBzImage().Bytes())
	spec.Cmdline, spec.CmdlineExact = "console=ttyS0", true
	plain, err := New(host, spec)
	if err != nil {
		t.Fatal(err)
	}
	spec.Options.PassMemmap = true
	p, err := New(host, spec)
	if err != nil {
		t.Fatal(err)
	}
	words := strings.Fields(p.KernelCmdline)
	var told []memmap.Range
	for _, w := range words {
		at, ok := strings.CutPrefix(w, "memmap=")
		size, start, ram := strings.Cut(at, "@")
		if ok && ram {
			r := memmap.Range{Start: memmap.PhysAddr(memparse(t, start))}
			r.End = r.Start + memmap.PhysAddr(memparse(t, size))
			told = append(told, r)
		}
	}
	if got, want := memmap.NewSet(told...), ramOf(plain.E820); !got.Equal(want) {
		t.Errorf("%q tells of RAM at %v; want %v", p.KernelCmdline, got, want)
	}
	if len(words) < 4 || !strings.HasPrefix(words[0], "elfcorehdr=") || words[1] != "memmap=exactmap" || words[len(words)-1] != "console=ttyS0" {
		t.Errorf("command line %q; want elfcorehdr=, memmap=exactmap, the ranges and the user's words", p.KernelCmdline)
	}
	if got, want := ramOf(p.E820), ramOf(plain.E820); !got.Equal(want) {
		t.Errorf("boot_params has RAM at %v; want the crash kernel's, %v", got, want)
	}
}

// memparse reads what kib writes (lib/cmdline.c, memparse).
func memparse(t *testing.T, s string) uint64 {
	t.Helper()
	var n uint64
	digits, isK := strings.CutSuffix(s, "K")
	if err := json.Unmarshal([]byte(digits), &n); err != nil || !isK {
		t.Fatalf("%q is no number of KiB", s)
	}
	return n << 10
}

// An exact command line is the user's, whatever is in it but a NUL.
func TestCmdlineExact(t *testing.T) {
	host := kexectest.NewMachine(t).Host("x86_64")
	for _, text := range []string{` a  "b`, `x=" -- y`, "tab\there "} {
		p, err := New(host, &Spec{Kind: machine.Crash, Kernel: FromBytes("k", imagetest.SmallBzImage().Bytes()), Cmdline: text, CmdlineExact: true})
		if err != nil || p.Cmdline != text {
			t.Errorf("exact command line %q came out as %q, %v", text, p.Cmdline, err)
		}
	}
	if _, err := New(host, &Spec{Kind: machine.Crash, Kernel: FromBytes("k", imagetest.SmallBzImage().Bytes()), Cmdline: "a\x00b", CmdlineExact: true}); !errors.Is(err, cmdline.ErrBad) {
		t.Errorf("a command line with a NUL: %v; want ErrCmdline", err)
	}
}
