package capture

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/gokexec/gokexec/internal/dumptest"
	"github.com/gokexec/gokexec/pkg/kdumpfile"
	"github.com/gokexec/gokexec/pkg/memmap"
	"github.com/gokexec/gokexec/pkg/pagefilter"
)

// randomVMCore is a dump of about 6 MiB that can't be compressed.
func randomVMCore(t *testing.T) []byte {
	t.Helper()
	m := dumptest.NewImage(dumptest.Archs[0], testRelease)
	m.Line("CRASHTIME=%d", testCrashTime.Unix())
	const size = 6000 << 10
	b := m.Bytes(m.Alloc(size, 4096), size)
	rand.NewChaCha8([32]byte{7}).Read(b)
	dumptest.ByteRing(m, 4096, 0, []byte(testLog))
	return m.Core().Bytes()
}

// modulo is a filter that keeps one block of pages of n, and fails where it is told to. ELF dumps have no
// shorter holes than such a block.
type modulo struct {
	n     uint64
	calls int
	fail  func(call int) error
}

func (m *modulo) Filter(_ context.Context, first uint64, keep []uint64) error {
	m.calls++
	if m.fail != nil {
		if err := m.fail(m.calls); err != nil {
			return err
		}
	}
	for i := range uint64(len(keep)) * 64 {
		if (first+i)/512%m.n != 0 {
			keep[i/64] &^= 1 << (i % 64)
		}
	}
	return nil
}

// formTest is a capture whose filter is of.
type formTest struct {
	*run
	s      *fakeSystem
	screen bytes.Buffer
}

func newFormTest(t *testing.T, vmcore []byte, cfg Config, of func(pagefilter.Level) kdumpfile.Filter) *formTest {
	t.Helper()
	f := &formTest{s: newFakeSystem(t)}
	f.s.file(t, VMCorePath, string(vmcore))
	f.s.file(t, "/crash/x", "")
	f.s.device(t, "vda", 8<<20)
	f.run = newRun(cfg.withDefaults(), Options{System: f.s, Console: &f.screen})
	src, err := openSource(f.s, VMCorePath)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { src.file.Close() })
	f.src = src
	src.describe(f.base)
	if err := f.readForm(); err != nil {
		t.Fatal(err)
	}
	f.choose.Do(func() {
		f.choice = choice{of: of, survey: &pagefilter.Survey{Pages: 900, Refused: []pagefilter.Refusal{{Class: pagefilter.PrivateCache, Reason: "it can't be told"}}}}
		f.choice.survey.Counts[pagefilter.Free] = 5
	})
	return f
}

// save saves to the device or the directory, and returns the dump.
func (f *formTest) save(t *testing.T, raw bool) (res *Result, got []byte, err error) {
	t.Helper()
	f.cfg.Targets = []Target{{Type: TargetDirectory, Path: "/crash"}}
	if raw {
		f.cfg.Targets = []Target{{Type: TargetRaw, Device: "/dev/vda"}}
	}
	f.readLog(t.Context())
	res, err = f.targets(t.Context())
	f.out.Flush(flushTimeout)
	if res.VMCore.File == "" {
		return res, nil, err
	}
	if raw {
		return res, rawDumpOf(t, f.s.path("/dev/vda")), err
	}
	return res, mustRead(t, f.s.path("/crash/"+testDirName+"/"+res.VMCore.File)), err
}

// The next level of the list is tried where there is no room for a dump of the one before, on a disk and in
// a directory; what the first one left is not in the second.
func TestNextLevel(t *testing.T) {
	vmcore := randomVMCore(t)
	for _, raw := range []bool{false, true} {
		for _, format := range Formats() {
			t.Run(fmt.Sprintf("%s, raw %v", format, raw), func(t *testing.T) {
				f := newFormTest(t, vmcore, Config{DumpLevel: "1,31", Format: format}, func(l pagefilter.Level) kdumpfile.Filter {
					if l == 1 {
						return nil
					}
					return &modulo{n: 2}
				})
				f.s.faults = map[string]*fault{"vmcore.incomplete": {capacity: 5 << 20}}
				if raw { // the end of the stream is written first
					f.s.device(t, "vda", 5<<20)
				}
				res, got, err := f.save(t, raw)
				if err != nil || res.Outcome != Complete || res.VMCore.DumpLevel != 31 || res.VMCore.SavedBytes != int64(len(got)) {
					t.Fatalf("%+v, %v; want it complete at level 31", res, err)
				}
				if n, _ := differing(t, got, vmcore); n < 512 || res.VMCore.KeptPages != res.VMCore.MemoryPages-uint64(n) {
					t.Errorf("%d pages of %d differ, %d are kept; want a block or two", n, res.VMCore.MemoryPages, res.VMCore.KeptPages)
				}
				if !strings.Contains(f.screen.String(), "no room for a dump of level 1; trying level 31") {
					t.Errorf("console:\n%s", f.screen.String())
				}
			})
		}
	}
}

// Whatever place a disk is full at, what is on it is a dump that can be opened, says that it is incomplete,
// and has nothing wrong in it; the log and the result are there.
func TestFullDisk(t *testing.T) {
	vmcore := randomVMCore(t)
	for _, raw := range []bool{false, true} {
		for _, format := range Formats() {
			for tenth := int64(1); tenth < 8; tenth++ {
				t.Run(fmt.Sprintf("%s, raw %v, %d0%%", format, raw, tenth), func(t *testing.T) {
					f := newFormTest(t, vmcore, Config{Format: format}, func(pagefilter.Level) kdumpfile.Filter { return &modulo{n: 1} })
					room := fullSlack + int64(len(vmcore))*tenth/10 // a full directory gives so much back
					f.s.faults["vmcore.incomplete"] = &fault{capacity: room}
					f.s.device(t, "vda", room+resultRoom+8192, func(b []byte) {
						for i := range b {
							b[i] = 0xa5
						}
					})
					f.s.faults["/dev/vda"] = &fault{}
					f.cfg.Targets = nil
					res, got, err := f.saveOver(t, raw)
					if !errors.Is(err, syscall.ENOSPC) || res.Outcome != Incomplete || res.VMCore.File != IncompleteName {
						t.Fatalf("%+v, %v; want it incomplete for lack of room", res, err)
					}
					d, err := kdumpfile.Open(bytes.NewReader(got))
					if err != nil || !d.Incomplete() {
						t.Fatalf("the dump of %d bytes: %v; want one that is incomplete", len(got), err)
					}
					checkPart(t, d, vmcore, tenth)
				})
			}
		}
	}
}

// saveOver is save on a device that may hold anything.
func (f *formTest) saveOver(t *testing.T, raw bool) (*Result, []byte, error) {
	t.Helper()
	if !raw {
		return f.save(t, false)
	}
	f.cfg.Targets = []Target{{Type: TargetRaw, Device: "/dev/vda", Overwrite: true}}
	f.readLog(t.Context())
	res, err := f.targets(t.Context())
	if res.VMCore.File == "" {
		return res, nil, err
	}
	return res, rawDumpOf(t, f.s.path("/dev/vda")), err
}

// checkPart makes sure that what can be read of a dump is right, and that it is no less than there was
// room for, but for what the headers and one buffer take.
func checkPart(t *testing.T, d kdumpfile.Dump, vmcore []byte, tenth int64) {
	t.Helper()
	want, err := kdumpfile.Open(bytes.NewReader(vmcore))
	if err != nil {
		t.Fatal(err)
	}
	right, all := int64(0), int64(0)
	a, b := make([]byte, 4096), make([]byte, 4096)
	for addr := memmap.PhysAddr(0); ; {
		m, err := want.NextMemory(addr)
		if err != nil {
			break
		}
		for addr = m.Start; addr < m.End; addr += 4096 {
			all++
			size, _ := want.ReadPhysAt(a, addr)
			got, err := d.ReadPhysAt(b, addr)
			switch {
			case err != nil && got < size, isELF(d) && len(bytes.Trim(b, "\x00")) == 0: // a hole
			case bytes.Equal(a[:size], b[:size]):
				right++
			default:
				t.Fatalf("the page at %#x is wrong", uint64(addr))
			}
		}
	}
	if least := all*tenth/10 - 2<<20/4096; right < least {
		t.Errorf("%d of %d pages can be read; want %d", right, all, least)
	}
}

func isELF(d kdumpfile.Dump) bool { _, ok := d.(*kdumpfile.ELF); return ok }

// A filter that fails, at its first window or a later one, by an error or a panic, costs nothing but the
// filtering: every page is saved, in the format asked for.
func TestFilterFails(t *testing.T) {
	vmcore := testVMCore(t)
	for _, tt := range []struct {
		name string
		fail func(call int) error
	}{
		{"error", func(int) error { return errors.New("planted") }},
		{"late", func(n int) error {
			if n > 1 {
				return errors.New("planted")
			}
			return nil
		}},
		{"panic", func(int) error { panic("planted") }},
	} {
		for _, raw := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, raw %v", tt.name, raw), func(t *testing.T) {
				f := newFormTest(t, vmcore, Config{}, func(pagefilter.Level) kdumpfile.Filter { return &modulo{n: 2, fail: tt.fail} })
				res, got, err := f.save(t, raw)
				if err != nil || res.Outcome != Complete || res.VMCore.Format != FormatKdump || res.VMCore.KeptPages != res.VMCore.MemoryPages {
					t.Fatalf("%+v, %v; want all of it, in the compressed format", res, err)
				}
				checkSame(t, got, vmcore)
				if said := strings.Join(res.Errors, " "); !strings.Contains(said, "planted") || !strings.Contains(f.screen.String(), "every page is kept") {
					t.Errorf("errors %q, console:\n%s\nwant the reason in both", res.Errors, f.screen.String())
				}
				if res.VMCore.Classes != nil || res.VMCore.Refused != nil {
					t.Errorf("classes %v, %v; want none", res.VMCore.Classes, res.VMCore.Refused)
				}
			})
		}
	}
}

// A panic while the pages are written, in whatever goroutine, ends in the plain memory.
func TestWriterPanics(t *testing.T) {
	vmcore := testVMCore(t)
	for _, raw := range []bool{false, true} {
		f := newFormTest(t, vmcore, Config{}, nil)
		panicked := false
		f.src.dump = brokenDump{f.src.dump, func(addr memmap.PhysAddr) {
			if !panicked && addr > memmap.PhysAddr(f.src.core.Loads[0].Phys)+1<<20 {
				panicked = true
				panic("planted")
			}
		}}
		res, got, err := f.save(t, raw)
		if err != nil || res.Outcome != Complete || res.VMCore.Format != FormatELF || !panicked {
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

// brokenDump does something at each read.
type brokenDump struct {
	kdumpfile.Dump
	do func(memmap.PhysAddr)
}

func (d brokenDump) ReadPhysAt(b []byte, addr memmap.PhysAddr) (int, error) {
	d.do(addr)
	return d.Dump.ReadPhysAt(b, addr)
}

// The result and the console say what was left out, and what was not although it should have been.
func TestRefusedClass(t *testing.T) {
	f := newFormTest(t, testVMCore(t), Config{}, func(pagefilter.Level) kdumpfile.Filter { return &modulo{n: 4} })
	f.sayChoice(&f.choice)
	res, _, err := f.save(t, false)
	if err != nil || len(res.Errors) > 0 {
		t.Fatalf("%+v, %v", res, err)
	}
	stored := readResult(t, mustRead(t, f.s.path(res.Location+"/result.json")))
	v := stored.VMCore
	if len(v.Refused) != 1 || v.Refused[0] != (RefusedClass{"private_cache", "it can't be told"}) || v.Classes["free"] != 5 || v.Format != FormatKdump || v.Compression != "zstd" || v.DumpLevel != 31 {
		t.Errorf("result.json has %+v", v)
	}
	for _, want := range []string{"900 pages: 5 free", "the class private cache is kept: it can't be told", "(level 31, zstd)"} {
		if !strings.Contains(f.screen.String()+res.Summary(), want) {
			t.Errorf("console:\n%s%s\nwant %q", f.screen.String(), res.Summary(), want)
		}
	}
}

// A page that can't be read is one of zeroes in the dump, counted and listed.
func TestUnreadablePage(t *testing.T) {
	vmcore := testVMCore(t)
	f := newFormTest(t, vmcore, Config{}, nil)
	bad := f.src.core.Loads[0].Phys + 300*4096
	f.src.file.Close()
	f.s.faults[VMCorePath] = &fault{read: func(offset, length int64) error {
		if addr, ok := f.src.phys(offset); ok && addr <= bad && bad < addr+memmap.PhysAddr(length) {
			return syscall.EFAULT
		}
		return nil
	}}
	src, err := openSource(f.s, VMCorePath)
	if err != nil {
		t.Fatal(err)
	}
	f.src = src
	t.Cleanup(func() { src.file.Close() })
	res, got, err := f.save(t, false)
	if !errors.Is(err, syscall.EFAULT) || res.Outcome != Incomplete || res.VMCore.File != VMCoreName ||
		res.VMCore.IncompletePages != 1 || len(res.VMCore.FirstIncompletePages) != 1 || res.VMCore.FirstIncompletePages[0] != hexText(uint64(bad)) {
		t.Fatalf("%+v, %v; want one page missing, at %#x", res, err, uint64(bad))
	}
	if n, first := differing(t, got, vmcore); n != 1 || first != bad {
		t.Errorf("%d pages differ, the first at %#x; want the bad one", n, uint64(first))
	}
}

// What the configuration says of the form, and what the kernel's command line says before it.
func TestForm(t *testing.T) {
	for _, tt := range []struct {
		format          Format
		compress, level string
		line            string
		want            string // "" for an error
		ignored         int
	}{
		{"", "", "", "", "kdump, zstd, level 31", 0},
		{"kdump", "zlib", "1,31", "quiet", "kdump, zlib, level 1", 0},
		{"elf", "", "0", "", "elf, level 0", 0},
		{"elf", "none", "31", "", "elf, level 31", 0},
		{"elf", "zstd", "", "", "", 0},
		{"pdf", "", "", "", "", 0},
		{"", "lz4", "", "", "", 0},
		{"", "", "32", "", "", 0},
		{"", "", "1,,2", "", "", 0},
		{"", "", "", "gokexec.dump_level=0 gokexec.compress=snappy", "kdump, snappy, level 0", 0},
		{"", "zlib", "", "gokexec.format=elf", "elf, level 31", 0},
		{"elf", "", "1", "gokexec.compress=zlib gokexec.format=kdump", "kdump, zlib, level 1", 0},
		{"", "", "", "gokexec.dump-level=16,31 gokexec.dump_level=8", "kdump, zstd, level 8", 0},
		{"", "zlib", "3", "gokexec.dump_level=x gokexec.format= gokexec.compress", "kdump, zlib, level 3", 3},
		{"elf", "", "3", "gokexec.compress=zstd", "elf, level 3", 1},
	} {
		cfg := Config{Format: tt.format, Compress: tt.compress, DumpLevel: tt.level}
		cfg, ignored := cfg.withCmdline(tt.line)
		f, err := cfg.form()
		if (err == nil) != (tt.want != "") {
			t.Errorf("%+v: %v; want %q", tt, err, tt.want)
			continue
		}
		if err == nil && (f.text(f.levels[0]) != tt.want || len(ignored) != tt.ignored) {
			t.Errorf("%+v: %s, ignored %v; want %s", tt, f.text(f.levels[0]), ignored, tt.want)
		}
	}
}

// The command line of a capture kernel is read, and what is wrong in it told.
func TestFormOfKernel(t *testing.T) {
	f := newFormTest(t, testVMCore(t), Config{}, nil)
	f.s.file(t, "/proc/cmdline", "gokexec.format=elf gokexec.dump_level=99\n")
	if err := f.readForm(); err != nil {
		t.Fatal(err)
	}
	res, got, err := f.save(t, false)
	if err != nil || res.VMCore.Format != FormatELF || res.VMCore.DumpLevel != 31 || !bytes.HasPrefix(got, []byte("\x7fELF")) {
		t.Errorf("%+v, %v; want an ELF dump of level 31", res, err)
	}
	if said := strings.Join(res.Errors, " "); !strings.Contains(said, `gokexec.dump_level=99 on the kernel command line is ignored`) {
		t.Errorf("errors %q", res.Errors)
	}
	if _, err := os.Stat(f.s.path(res.Location + "/vmcore")); err != nil {
		t.Error(err)
	}
}
