package capture

import (
	"bytes"
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
)

// Page frames of the memory behind the kernel's in a linuxVMCore, blocks of blockPages each.
const (
	firstPage, endPage = 0x3400, 0x3a00
	blockPages         = 512
)

// kindOf says what such a page frame is used for: by the kernel, by a process, or not at all.
func kindOf(pfn uint64) int {
	if pfn < firstPage {
		return dumptest.PageKernel
	}
	return []int{dumptest.PageKernel, dumptest.PageUser, dumptest.PageFree}[(pfn-firstPage)/blockPages%3]
}

// linuxVMCore is a dump of some 8 MiB whose pages can be told apart, and most of which can't be compressed.
func linuxVMCore(t *testing.T) []byte { return vmcoreOf(t, endPage, kindOf) }

// vmcoreOf is linuxVMCore with pages up to another end, and of other kinds.
func vmcoreOf(t *testing.T, endPage uint64, kind func(pfn uint64) int) []byte {
	t.Helper()
	m := dumptest.NewImage(dumptest.Archs[0], testRelease)
	m.Line("CRASHTIME=%d", testCrashTime.Unix())
	m.AddLinux(testRelease, endPage, kind)
	dumptest.ByteRing(m, 4096, 0, []byte(testLog))
	c := m.Core()
	data := make([]byte, (endPage-firstPage)*4096)
	rand.NewChaCha8([32]byte{7}).Read(data)
	c.Loads = append(c.Loads, dumptest.Load{Phys: firstPage << 12, Virt: 0xffff888000000000 + firstPage<<12, Data: data})
	return c.Bytes()
}

// formTest is a capture.
type formTest struct {
	*run
	s      *fakeSystem
	screen bytes.Buffer
}

func newFormTest(t *testing.T, vmcore []byte, cfg Config) *formTest {
	t.Helper()
	f := &formTest{s: newFakeSystem(t)}
	f.s.file(t, VMCorePath, string(vmcore))
	f.s.file(t, "/crash/x", "")
	f.s.device(t, "vda", 16<<20)
	f.run = newRun(cfg.withDefaults(), Options{System: f.s, Console: &f.screen})
	f.open(t)
	return f
}

// open opens the source, with the faults that it has by now.
func (f *formTest) open(t *testing.T) {
	t.Helper()
	src, err := openSource(f.s, VMCorePath)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { src.close() })
	f.src = src
	src.describe(f.base)
	if err := f.readForm(); err != nil {
		t.Fatal(err)
	}
}

// save saves to the device, whatever it holds, or the directory, and returns the dump.
func (f *formTest) save(t *testing.T, raw bool) (res *Result, got []byte, err error) {
	t.Helper()
	f.cfg.Targets = []Target{{Type: TargetDirectory, Path: "/crash"}}
	if raw {
		f.cfg.Targets = []Target{{Type: TargetRaw, Device: "/dev/vda", Overwrite: true}}
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

// By default a dump has neither free memory nor that of processes. Each level leaves out what it says, and
// nothing else.
func TestDumpLevels(t *testing.T) {
	vmcore := linuxVMCore(t)
	for _, tt := range []struct {
		level string
		out   []int
	}{{"", []int{dumptest.PageUser, dumptest.PageFree}}, {"0", nil}, {"8", []int{dumptest.PageUser}}, {"16", []int{dumptest.PageFree}}, {"31", []int{dumptest.PageUser, dumptest.PageFree}}} {
		for _, format := range Formats() {
			f := newFormTest(t, vmcore, Config{Format: format, DumpLevel: tt.level})
			res, got, err := f.save(t, false)
			if err != nil || res.Outcome != Complete || len(res.Errors) > 0 || len(res.VMCore.Refused) > 0 {
				t.Fatalf("%s, level %q: %+v, %v; want it complete", format, tt.level, res, err)
			}
			n, _ := differing(t, got, vmcore)
			if want := len(tt.out) * blockPages; n != want || res.VMCore.KeptPages != res.VMCore.MemoryPages-uint64(n) {
				t.Errorf("%s, level %q: %d of %d pages are left out, %d kept; want %d out", format, tt.level, n, res.VMCore.MemoryPages, res.VMCore.KeptPages, want)
			}
			if free := res.VMCore.Classes["free"]; tt.level != "0" && free != blockPages {
				t.Errorf("%s, level %q: %d pages are free; want %d", format, tt.level, free, blockPages)
			}
		}
	}
}

// A damaged page is in no dump that is filtered, of level 0 neither. An ELF dump of level 0 is the memory as the
// kernel gives it.
func TestDamagedPage(t *testing.T) {
	vmcore := vmcoreOf(t, endPage, func(pfn uint64) int {
		if pfn == firstPage {
			return dumptest.PageDamaged
		}
		return dumptest.PageKernel
	})
	for _, tt := range []struct {
		level  string
		format Format
		want   int
	}{{"0", FormatKdump, 1}, {"1", FormatELF, 1}, {"31", FormatKdump, 1}, {"0", FormatELF, 0}} {
		f := newFormTest(t, vmcore, Config{Format: tt.format, DumpLevel: tt.level})
		res, got, err := f.save(t, false)
		if err != nil || res.Outcome != Complete || len(res.Errors) > 0 {
			t.Fatalf("%+v: %+v, %v; want it complete", tt, res, err)
		}
		if n, _ := differing(t, got, vmcore); n != tt.want || res.VMCore.Classes["hwpoison"] != uint64(tt.want) || tt.want == 0 && !bytes.Equal(got, vmcore) {
			t.Errorf("%+v: %d pages are left out, by class %v; want %d", tt, n, res.VMCore.Classes, tt.want)
		}
	}
}

// The next level of the list is tried where there is no room for a dump of the one before, on a disk and in
// a directory; what the first one left is not in the second.
func TestNextLevel(t *testing.T) {
	vmcore := linuxVMCore(t)
	for _, raw := range []bool{false, true} {
		for _, format := range Formats() {
			t.Run(fmt.Sprintf("%s, raw %v", format, raw), func(t *testing.T) {
				f := newFormTest(t, vmcore, Config{DumpLevel: "1,8,31", Format: format})
				f.s.faults["vmcore.incomplete"] = &fault{capacity: 7 << 19}
				f.s.device(t, "vda", 7<<19)
				res, got, err := f.save(t, raw)
				if err != nil || res.Outcome != Complete || res.VMCore.DumpLevel != 31 || res.VMCore.SavedBytes != int64(len(got)) {
					t.Fatalf("%+v, %v; want it complete at level 31", res, err)
				}
				if n, _ := differing(t, got, vmcore); n != 2*blockPages {
					t.Errorf("%d pages are left out; want %d", n, 2*blockPages)
				}
				for _, say := range []string{"no room for a dump of level 1; trying level 8", "no room for a dump of level 8; trying level 31"} {
					if !strings.Contains(f.screen.String(), say) {
						t.Errorf("console:\n%s\nwant %q", f.screen.String(), say)
					}
				}
			})
		}
	}
}

// Whatever tenth of a dump a disk is full at, what is on it is a dump that can be opened, says that it is
// incomplete, and has nothing wrong in it; the log and the result are there.
func TestFullDisk(t *testing.T) {
	const pages = 2 * (endPage - firstPage)
	vmcore := vmcoreOf(t, firstPage+pages, kindOf)
	for _, raw := range []bool{false, true} {
		for _, format := range Formats() {
			for tenth := range int64(10) {
				t.Run(fmt.Sprintf("%s, raw %v, %d0%%", format, raw, tenth), func(t *testing.T) {
					f := newFormTest(t, vmcore, Config{Format: format, DumpLevel: "1"})
					part := max(pages*4096*tenth/10, 64<<10)
					f.s.faults["vmcore.incomplete"] = &fault{capacity: part + fullSlack} // which is given back
					f.s.device(t, "vda", part+resultRoom+8192, func(b []byte) {
						for i := range b {
							b[i] = 0xa5
						}
					})
					res, got, err := f.save(t, raw)
					if !errors.Is(err, syscall.ENOSPC) || res.Outcome != Incomplete || res.VMCore.File != IncompleteName || res.Log.File == "" {
						t.Fatalf("%+v, %v; want it incomplete for lack of room", res, err)
					}
					d, err := kdumpfile.Open(bytes.NewReader(got))
					if err != nil || !d.Incomplete() {
						t.Fatalf("the dump of %d bytes: %v; want one that is incomplete", len(got), err)
					}
					checkPart(t, d, vmcore, part)
				})
			}
		}
	}
}

// A file that is as large as the filesystem allows: the next level is tried, and of the last one all that fits is a
// dump that can be read.
func TestLargestFile(t *testing.T) {
	vmcore := linuxVMCore(t)
	const most = 7 << 19
	for level, want := range map[string]Outcome{"1,8,31": Complete, "1,8": Incomplete} {
		f := newFormTest(t, vmcore, Config{DumpLevel: level})
		f.s.faults["vmcore.incomplete"] = &fault{capacity: most, full: syscall.EFBIG}
		res, got, err := f.save(t, false)
		if res.Outcome != want || (err == nil) != (want == Complete) || err != nil && !errors.Is(err, syscall.EFBIG) {
			t.Fatalf("levels %s: %+v, %v; want it %s", level, res, err, want)
		}
		if want == Complete {
			continue
		}
		if len(got) != most { // the filesystem has room for the result
			t.Errorf("levels %s: %d bytes are left of the dump; want %d", level, len(got), most)
		}
		d, err := kdumpfile.Open(bytes.NewReader(got))
		if err != nil || !d.Incomplete() {
			t.Fatalf("%v; want a dump that is incomplete", err)
		}
		checkPart(t, d, vmcore, most)
	}
}

// checkPart makes sure that what can be read of a dump is right, and that it is no less than there was
// room for, but for what the headers and buffers take.
func checkPart(t *testing.T, d kdumpfile.Dump, vmcore []byte, room int64) {
	t.Helper()
	want, err := kdumpfile.Open(bytes.NewReader(vmcore))
	if err != nil {
		t.Fatal(err)
	}
	right := int64(0)
	a, b := make([]byte, 4096), make([]byte, 4096)
	for addr := memmap.PhysAddr(0); ; {
		m, err := want.NextMemory(addr)
		if err != nil {
			break
		}
		for addr = m.Start; addr < m.End; addr += 4096 {
			size, _ := want.ReadPhysAt(a, addr)
			got, err := d.ReadPhysAt(b, addr)
			switch hole := isELF(d) && len(bytes.Trim(b, "\x00")) == 0; {
			case err != nil && got < size:
			case bytes.Equal(a[:size], b[:size]):
				right++
			case !hole: // which reads as zeroes
				t.Fatalf("the page at %#x is wrong", uint64(addr))
			}
		}
	}
	if least := (room - 2<<20) / 4096; right < least {
		t.Errorf("%d pages can be read; want %d", right, least)
	}
}

func isELF(d kdumpfile.Dump) bool { _, ok := d.(*kdumpfile.ELF); return ok }

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
	f := newFormTest(t, linuxVMCore(t), Config{})
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

// After every single write a raw device holds a well-formed stream, in which the dump, once it has begun, can be
// opened and has nothing wrong in it, whatever the device held before.
func TestRawAtEveryMoment(t *testing.T) {
	vmcore := linuxVMCore(t)
	for _, cfg := range []Config{{}, {Compress: "none", DumpLevel: "0"}, {Format: FormatELF}} {
		f := newFormTest(t, vmcore, cfg)
		image := make([]byte, 12<<20)
		f.s.device(t, "vda", int64(len(image)), func(b []byte) {
			for i := range b {
				b[i] = byte(i>>9) ^ byte(i)
			}
			copy(image, b)
		})
		steps, opened := 0, 0
		f.s.faults["/dev/vda"] = &fault{record: func(offset int64, b []byte) {
			copy(image[offset:], b)
			steps++
			names, contents, err := untar(bytes.NewReader(image))
			if err != nil {
				t.Fatalf("step %d: %q, %v", steps, names, err)
			}
			part, ok := contents[IncompleteName]
			if !ok {
				return
			}
			d, err := kdumpfile.Open(bytes.NewReader(part))
			if err != nil {
				if opened > 0 {
					t.Errorf("step %d: %v", steps, err)
				}
				return
			}
			if opened++; opened%4 == 1 {
				checkPart(t, d, vmcore, 0)
			}
		}}
		res, got, err := f.save(t, true)
		if err != nil || res.Outcome != Complete || opened < 4 {
			t.Fatalf("%+v: %+v, %v; the dump could be opened %d times of %d", cfg, res, err, opened, steps)
		}
		if d, err := kdumpfile.Open(bytes.NewReader(got)); err != nil || d.Incomplete() {
			t.Errorf("%+v: the whole dump: %v", cfg, err)
		}
	}
}

// FuzzCmdline: whatever is on a command line, the form stays one that can be written, and what is not taken is told.
func FuzzCmdline(f *testing.F) {
	f.Add("quiet gokexec.dump_level=1,31 gokexec.format=elf")
	f.Add("gokexec.compress=zlib gokexec.compress=lz4 gokexec.format=\"elf")
	f.Add("gokexec.format=elf gokexec.compress=zstd")
	f.Fuzz(func(t *testing.T, line string) {
		cfg, ignored := Config{DumpLevel: "1", Compress: "zlib"}.withCmdline(line)
		form, err := cfg.form()
		if err != nil || len(form.levels) == 0 {
			t.Fatalf("%q: %+v, %v", line, form, err)
		}
		if !strings.Contains(line, "gokexec") && (len(ignored) > 1 || form.text(form.levels[0]) != "kdump, zlib, level 1") {
			t.Errorf("%q: %s, ignored %v; want what was configured", line, form.text(form.levels[0]), ignored)
		}
	})
}
