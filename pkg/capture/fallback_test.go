package capture

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/gokexec/gokexec/internal/dumptest"
	"github.com/gokexec/gokexec/pkg/excerpt"
	"github.com/gokexec/gokexec/pkg/kdumpfile"
	"github.com/gokexec/gokexec/pkg/memmap"
	"github.com/gokexec/gokexec/pkg/pagefilter"
)

// A filter that fails costs nothing but the filtering: every page is
// saved, in the format asked for.
func TestFilterFails(t *testing.T) {
	whole := linuxVMCore(t)
	blind := testVMCore(t) // its pages can't be told apart
	for _, tt := range []struct {
		name   string
		vmcore []byte
		broken func(read int) bool // of the struct pages
		says   string
		checks bool // the classes are known, and each is refused
	}{
		{"nothing is known", blind, nil, "VMCOREINFO", false},
		{"panic at the first read", whole, func(n int) bool { return n == 1 }, "planted", false},
		{"panic in the checks", whole, func(n int) bool { return n == 5 }, "planted", true},
	} {
		for _, raw := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, raw %v", tt.name, raw), func(t *testing.T) {
				f := newFormTest(t, tt.vmcore, Config{DumpLevel: "30"})
				reads := 0
				var mu sync.Mutex
				if tt.broken != nil {
					f.src.dump = &brokenDump{Dump: f.src.dump, do: func(b []byte) {
						if len(b) > 1<<10 && len(b)%4096 == 0 && len(b) < 1<<18 { // the filter reads 512 of them at once
							mu.Lock()
							defer mu.Unlock()
							if reads++; tt.broken(reads) {
								panic("planted")
							}
						}
					}}
				}
				res, got, err := f.save(t, raw)
				if err != nil || res.Outcome != Complete || res.VMCore.Format != FormatKdump || res.VMCore.KeptPages != res.VMCore.MemoryPages {
					t.Fatalf("%+v, %v; want all of it, in the compressed format", res, err)
				}
				checkSame(t, got, tt.vmcore)
				if tt.checks {
					if len(res.VMCore.Refused) == 0 || !strings.Contains(f.screen.String(), tt.says) {
						t.Errorf("refused %v, console:\n%s\nwant the reason in both", res.VMCore.Refused, f.screen.String())
					}
					return
				}
				if said := strings.Join(res.Errors, " "); !strings.Contains(said, tt.says) || !strings.Contains(f.screen.String(), "every page is kept") {
					t.Errorf("errors %q, console:\n%s\nwant the reason in both", res.Errors, f.screen.String())
				}
				if res.VMCore.Classes != nil || res.VMCore.Refused != nil {
					t.Errorf("classes %v, %v; want none", res.VMCore.Classes, res.VMCore.Refused)
				}
			})
		}
	}
}

// It is told apart whose error ended a dump: that of the disk goes before all others.
func TestExplain(t *testing.T) {
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	planted := errors.New("planted")
	full := &guardedDump{err: syscall.ENOSPC}
	for _, tt := range []struct {
		name string
		ctx  context.Context
		err  error
		to   *guardedDump
		want error
	}{
		{"none", t.Context(), nil, &guardedDump{}, nil},
		{"filter", t.Context(), fmt.Errorf("write: %w: %w", excerpt.ErrFilter, planted), &guardedDump{}, errFilter},
		{"format", t.Context(), planted, &guardedDump{}, errFormat},
		{"cancelled", cancelled, fmt.Errorf("write: %w: %w", excerpt.ErrFilter, planted), &guardedDump{}, errSource},
		{"disk", t.Context(), fmt.Errorf("write: %w: %w", excerpt.ErrFilter, syscall.ENOSPC), full, syscall.ENOSPC},
	} {
		err := explain(tt.ctx, tt.err, tt.to)
		if !errors.Is(err, tt.want) || tt.want == nil && err != nil {
			t.Errorf("%s: %v; want %v", tt.name, err, tt.want)
		}
		for _, other := range []error{errFilter, errFormat, errSource} {
			if other != tt.want && errors.Is(err, other) {
				t.Errorf("%s: %v is %v, too", tt.name, err, other)
			}
		}
	}
}

// A panic while the pages are written, in whatever goroutine, ends in the plain memory.
func TestWriterPanics(t *testing.T) {
	vmcore := testVMCore(t)
	for _, raw := range []bool{false, true} {
		for _, available := range []string{"5000", "5000000"} { // kB: one worker, or several
			f := newFormTest(t, vmcore, Config{DumpLevel: "0", Format: FormatKdump})
			f.s.file(t, "/proc/meminfo", "MemTotal:  100000 kB\nMemAvailable: "+available+" kB\n")
			var panicked atomic.Bool
			f.src.dump = &brokenDump{Dump: f.src.dump, do: func(b []byte) {
				if len(b) >= 4*4096 && panicked.CompareAndSwap(false, true) {
					panic("planted")
				}
			}}
			res, got, err := f.save(t, raw)
			if err != nil || res.Outcome != Complete || res.VMCore.Format != FormatELF || !panicked.Load() {
				t.Fatalf("raw %v: %+v, %v; want the plain memory", raw, res, err)
			}
			if !bytes.Equal(got, vmcore) {
				t.Errorf("raw %v: the dump is not the source", raw)
			}
			if said := strings.Join(res.Errors, " "); !strings.Contains(said, "planted") || !strings.Contains(f.screen.String(), "saving the memory as it is") {
				t.Errorf("raw %v: errors %q, console:\n%s", raw, res.Errors, f.screen.String())
			}
		}
	}
}

// brokenDump does something at each read.
type brokenDump struct {
	kdumpfile.Dump
	do func(b []byte)
}

func (d *brokenDump) ReadPhysAt(b []byte, addr memmap.PhysAddr) (int, error) {
	d.do(b)
	return d.Dump.ReadPhysAt(b, addr)
}

func (d *brokenDump) ReadVirtAt(b []byte, addr uint64) (int, error) {
	d.do(b)
	return d.Dump.ReadVirtAt(b, addr)
}

// The result and the console say what is left out, and what is not although it should be.
func TestRefusedClass(t *testing.T) {
	f := newFormTest(t, linuxVMCore(t), Config{DumpLevel: "28"})
	f.choose.Do(func() {
		f.choice.survey = f.surveyed(t.Context(), func() {})
		f.choice.survey.Unreadable = 3
		f.choice.survey.Refused = []pagefilter.Refusal{{Class: pagefilter.PrivateCache, Reason: "it can't be told"}, {Class: pagefilter.Zero, Reason: "not asked for"}}
	})
	res, _, err := f.save(t, false)
	if err != nil || len(res.Errors) > 0 {
		t.Fatalf("%+v, %v", res, err)
	}
	v := readResult(t, mustRead(t, f.s.path(res.Location+"/result.json"))).VMCore
	if len(v.Refused) != 1 || v.Refused[0] != (RefusedClass{"private_cache", "it can't be told"}) || v.Classes["user"] != blockPages || v.Format != FormatKdump || v.Compression != "zstd" || v.DumpLevel != 28 || v.UnknownPages != 3 {
		t.Errorf("result.json has %+v", v)
	}
	for _, want := range []string{"512 user, 512 free", "(level 28, zstd)"} {
		if !strings.Contains(f.screen.String()+res.Summary(), want) {
			t.Errorf("console:\n%s%s\nwant %q", f.screen.String(), res.Summary(), want)
		}
	}
}

// alignedVMCore is a testVMCore whose memory begins on a page, as that of /proc/vmcore does.
func alignedVMCore(t *testing.T) []byte {
	t.Helper()
	m := testImage()
	c := m.Core()
	d, err := kdumpfile.Open(bytes.NewReader(c.Bytes()))
	if err != nil {
		t.Fatal(err)
	}
	const header = 16 // of a note with a name of 3 letters
	gap := -d.(*kdumpfile.ELF).Loads[0].Offset % 4096
	c.Notes = append(c.Notes, dumptest.Note{Name: "PAD", Desc: make([]byte, (gap+4096-header)%4096)})
	return c.Bytes()
}

// A page that can't be read is one of zeroes in the dump, counted and listed.
func TestUnreadablePage(t *testing.T) {
	vmcore := alignedVMCore(t)
	f := newFormTest(t, vmcore, Config{DumpLevel: "1"})
	bad := f.src.core.Loads[0].Phys + 300*4096
	f.s.faults[VMCorePath] = &fault{read: func(offset, length int64) error {
		if addr, ok := f.src.phys(offset); ok && addr <= bad && bad < addr+memmap.PhysAddr(length) {
			return syscall.EFAULT
		}
		return nil
	}}
	f.open(t)
	res, got, err := f.save(t, false)
	if !errors.Is(err, syscall.EFAULT) || res.Outcome != Incomplete || res.VMCore.File != VMCoreName ||
		res.VMCore.IncompletePages != 1 || len(res.VMCore.FirstIncompletePages) != 1 || res.VMCore.FirstIncompletePages[0] != hexText(uint64(bad)) {
		t.Fatalf("%+v, %v; want one page missing, at %#x", res, err, uint64(bad))
	}
	if n, first := differing(t, got, vmcore); n != 1 || first != bad {
		t.Errorf("%d pages differ, the first at %#x; want the bad one", n, uint64(first))
	}
}
