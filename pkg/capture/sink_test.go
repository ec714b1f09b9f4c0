package capture

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gokexec/gokexec/pkg/blkid"
	"github.com/gokexec/gokexec/pkg/kdumpfile"
	"github.com/gokexec/gokexec/pkg/memmap"
)

// streamSink takes a dump that can only be streamed, as a network target does.
type streamSink struct {
	puts map[string][]byte
	dump streamDump
}

func (s *streamSink) location() string  { return "elsewhere" }
func (s *streamSink) directory() string { return "" }
func (s *streamSink) put(name string, write func(io.Writer) error) (int64, error) {
	var b bytes.Buffer
	err := write(&b)
	s.puts[name] = b.Bytes()
	return int64(b.Len()), err
}
func (s *streamSink) note([]byte) error          { return nil }
func (s *streamSink) create(int64) (dump, error) { return &s.dump, nil }
func (s *streamSink) close() error               { return nil }

type streamDump struct {
	buf  bytes.Buffer
	name string
}

func (d *streamDump) Write(p []byte) (int, error) { return d.buf.Write(p) }
func (d *streamDump) size() int64                 { return int64(d.buf.Len()) }
func (d *streamDump) commit() error               { d.name = VMCoreName; return nil }
func (d *streamDump) abandon(error) error         { d.name = IncompleteName; return nil }

// TestFormatAndSink: each format goes to each sink, and is read back page by page.
func TestFormatAndSink(t *testing.T) {
	vmcore := testVMCore(t)
	for _, form := range []Config{
		{}, {Compress: "none"}, {Compress: "zlib", DumpLevel: "1"}, {Compress: "snappy", DumpLevel: "0"},
		{Format: FormatELF}, {Format: FormatELF, DumpLevel: "0"},
	} {
		stream := &streamSink{puts: map[string][]byte{}}
		for _, tt := range []struct {
			name string
			open func(*fakeSystem) (sink, error)
			got  func(*fakeSystem) []byte
		}{
			{"directory", func(s *fakeSystem) (sink, error) {
				s.file(t, "/crash/x", "")
				return newDirectory(s, "/crash", "", testCrashTime, reserve{}, keepDumps{})
			}, func(s *fakeSystem) []byte { return mustRead(t, s.path("/crash/"+testDirName+"/vmcore")) }},
			{"raw", func(s *fakeSystem) (sink, error) {
				s.device(t, "vda", 8<<20, func(b []byte) { // the remains of something
					for i := range b {
						b[i] = byte(i>>3) | 1
					}
				})
				return newRaw(s, &place{Device: &blkid.Device{Node: "/dev/vda"}, close: func() error { return nil }}, rawPolicy{overwrite: true}, testCrashTime)
			}, func(s *fakeSystem) []byte { return rawDumpOf(t, s.path("/dev/vda")) }},
			{"stream", func(*fakeSystem) (sink, error) { return stream, nil },
				func(*fakeSystem) []byte { return stream.dump.buf.Bytes() }},
		} {
			t.Run(fmt.Sprintf("%s %s %s %s", form.Format, form.Compress, form.DumpLevel, tt.name), func(t *testing.T) {
				s := newFakeSystem(t)
				s.file(t, VMCorePath, string(vmcore))
				src, err := openSource(s, VMCorePath)
				if err != nil {
					t.Fatal(err)
				}
				defer src.file.Close()
				place, err := tt.open(s)
				if err != nil {
					t.Fatal(err)
				}
				var most int64
				var console bytes.Buffer
				r := newRun(form.withDefaults(), Options{System: s, Console: &console})
				defer r.out.Close(time.Second)
				r.src = src
				if err := r.readForm(); err != nil {
					t.Fatal(err)
				}
				res := &Result{}
				w := watcher{func() {}, func(soFar *Result) { most = max(most, soFar.VMCore.SavedBytes) }}
				if _, err := r.saveMemory(context.Background(), place, res, w); err != nil {
					t.Fatal(err)
				}
				if err := place.close(); err != nil {
					t.Fatal(err)
				}
				got := tt.got(s)
				checkSame(t, got, vmcore)
				if res.Outcome != Complete || res.VMCore.SavedBytes != int64(len(got)) || most > int64(len(got)) {
					t.Errorf("result %s, %d bytes saved (%d on the way); want %d", res.Outcome, res.VMCore.SavedBytes, most, len(got))
				}
				pages := uint64(len(vmcore)) / 4096
				if v := res.VMCore; v.MemoryPages < pages-2 || v.MemoryPages > pages+2 || v.KeptPages != v.MemoryPages {
					t.Errorf("%d of %d pages kept; want about %d", v.KeptPages, v.MemoryPages, pages)
				}
				r.out.Flush(time.Minute)
				if !strings.Contains(console.String(), fmt.Sprintf("vmcore 100%%  %d of %d pages", res.VMCore.KeptPages, res.VMCore.KeptPages)) {
					t.Errorf("progress %q; want that of %d pages", console.String(), res.VMCore.KeptPages)
				}
			})
		}
	}
}

// rawDumpOf is the dump on a device.
func rawDumpOf(t *testing.T, name string) []byte {
	t.Helper()
	d, err := OpenRaw(name)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	b, err := io.ReadAll(d)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// checkSame holds all memory of a dump of any form against that of an ELF file.
func checkSame(t *testing.T, got, vmcore []byte) {
	t.Helper()
	if n, bad := differing(t, got, vmcore); n > 0 {
		t.Errorf("%d pages differ, the first at %#x", n, uint64(bad))
	}
}

// differing counts the pages of an ELF file that a dump of any form doesn't have.
func differing(t *testing.T, got, vmcore []byte) (n int, first memmap.PhysAddr) {
	t.Helper()
	d, err := kdumpfile.Open(bytes.NewReader(got))
	if err != nil {
		t.Fatal(err)
	}
	want, err := kdumpfile.Open(bytes.NewReader(vmcore))
	if err != nil {
		t.Fatal(err)
	}
	for addr := memmap.PhysAddr(0); ; {
		m, err := want.NextMemory(addr)
		if err == io.EOF {
			return n, first
		} else if err != nil {
			t.Fatal(err)
		}
		a, b := make([]byte, 4096), make([]byte, 4096)
		for addr = m.Start; addr < m.End; addr += 4096 {
			size, _ := want.ReadPhysAt(a, addr) // less than a page where memory ends within
			if got, _ := d.ReadPhysAt(b, addr); got < size || !bytes.Equal(a[:size], b[:size]) {
				if n++; n == 1 {
					first = addr
				}
			}
		}
	}
}

// A dump on a disk is written at any place behind its begin.
func TestWriteAt(t *testing.T) {
	s := newFakeSystem(t)
	s.file(t, "/f", "headtail")
	f, err := s.OpenFile("/f", 2, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	w := newWriteBehind(f, 4)
	if _, err := w.Write([]byte("abc")); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		text   string
		offset int64
		ok     bool
	}{{"B", 1, true}, {"ABC", 0, true}, {"", 9, true}, {"x", 5, true}, {"x", -1, false}, {"x", math.MaxInt64 - 4, false}} {
		if n, err := w.WriteAt([]byte(tt.text), tt.offset); (err == nil) != tt.ok || tt.ok && n != len(tt.text) || !tt.ok && !errors.Is(err, syscall.EINVAL) {
			t.Errorf("WriteAt(%q, %d) = %d, %v; want ok %v", tt.text, tt.offset, n, err, tt.ok)
		}
	}
	if got := string(mustRead(t, s.path("/f"))); got != "headABCl\x00x" || w.size() != 6 {
		t.Errorf("the file holds %q, of which %d bytes are the dump; want 6", got, w.size())
	}
}

// An unknown format is refused when the configuration is read.
func TestUnknownFormat(t *testing.T) {
	cfg := Config{Targets: []Target{{Type: TargetRaw, Device: "/dev/x"}}, Format: "qcow"}
	if err := cfg.Validate(); !errors.Is(err, ErrConfig) || err.Error() != `bad capture configuration: format "qcow" is not one of kdump, elf` {
		t.Errorf("Validate: %v", err)
	}
	for _, cfg.Format = range []Format{"", FormatELF, FormatKdump} {
		if err := cfg.Validate(); err != nil {
			t.Errorf("format %q: %v", cfg.Format, err)
		}
	}
}
