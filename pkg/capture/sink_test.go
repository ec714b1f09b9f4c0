package capture

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"
)

// tableFormat writes a table in front that is known only at the end, where the dump lets it,
// and leaves out every second chunk, as a filter does.
type tableFormat struct{}

const tableMark = "table"

func (tableFormat) size(s *source) int64 { return s.size }

func (tableFormat) write(_ context.Context, w io.Writer, s *source, advance func(int64)) (loss pageLoss, err error) {
	if _, err := w.Write(make([]byte, len(tableMark))); err != nil {
		return loss, err
	}
	buf := make([]byte, 64<<10)
	for offset := int64(0); offset < s.size; offset += int64(len(buf)) {
		b := buf[:min(int64(len(buf)), s.size-offset)]
		if _, err := s.readPages(b, offset, &loss, func() {}); err != nil {
			return loss, err
		}
		if offset/int64(len(buf))%2 == 0 {
			if _, err := w.Write(b); err != nil {
				return loss, err
			}
		}
		advance(offset + int64(len(b)))
	}
	if at, ok := w.(writableAt); ok {
		_, err = at.WriteAt([]byte(tableMark), 0)
	}
	return loss, err
}

// streamSink takes a dump that can only be streamed, as a network target does.
type streamSink struct {
	puts map[string][]byte
	dump streamDump
}

func (s *streamSink) location() string { return "elsewhere" }
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

// TestFormatAndSink: any format goes to any sink. Progress counts the memory, and the
// result's size what is in the dump.
func TestFormatAndSink(t *testing.T) {
	vmcore := testVMCore(t)
	want := []byte(tableMark)
	for offset := 0; offset < len(vmcore); offset += 128 << 10 {
		want = append(want, vmcore[offset:min(offset+64<<10, len(vmcore))]...)
	}
	stream := &streamSink{puts: map[string][]byte{}}
	for _, tt := range []struct {
		name string
		open func(*fakeSystem) (sink, error)
		got  func(*fakeSystem) []byte
		mark string
	}{
		{"directory", func(s *fakeSystem) (sink, error) {
			s.file(t, "/crash/x", "")
			return newDirectory(s, "/crash", "", testCrashTime, reserve{})
		}, func(s *fakeSystem) []byte { return mustRead(t, s.path("/crash/"+testDirName+"/vmcore")) }, tableMark},
		{"raw", func(s *fakeSystem) (sink, error) {
			s.device(t, "vda", 8<<20)
			return newRaw(s, "/dev/vda", rawPolicy{}, testCrashTime)
		}, func(s *fakeSystem) []byte {
			d, err := OpenRaw(s.path("/dev/vda"))
			if err != nil {
				t.Fatal(err)
			}
			defer d.Close()
			b, err := io.ReadAll(d)
			if err != nil {
				t.Fatal(err)
			}
			return b
		}, tableMark},
		{"stream", func(*fakeSystem) (sink, error) { return stream, nil },
			func(*fakeSystem) []byte { return stream.dump.buf.Bytes() }, "\x00\x00\x00\x00\x00"},
	} {
		t.Run(tt.name, func(t *testing.T) {
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
			r := newRun(Config{}.withDefaults(), tableFormat{}, Options{System: s, Console: &console})
			defer r.out.Close(time.Second)
			r.src = src
			res := &Result{}
			w := watcher{func() {}, func(soFar *Result) { most = max(most, soFar.VMCore.SavedBytes) }}
			if _, err := r.saveMemory(context.Background(), place, res, w); err != nil {
				t.Fatal(err)
			}
			if err := place.close(); err != nil {
				t.Fatal(err)
			}
			if got := tt.got(s); !bytes.Equal(got, append([]byte(tt.mark), want[len(tableMark):]...)) {
				t.Errorf("the dump has %d bytes and begins with %q; want %d and %q", len(got), got[:5], len(want), tt.mark)
			}
			if res.Outcome != Complete || res.VMCore.SavedBytes != int64(len(want)) || most > int64(len(want)) {
				t.Errorf("result %s, %d bytes saved (%d on the way); want %d", res.Outcome, res.VMCore.SavedBytes, most, len(want))
			}
			r.out.Flush(time.Minute)
			if mb := len(vmcore) / 1e6; !strings.Contains(console.String(), fmt.Sprintf("vmcore 100%%  %d of %d MB", mb, mb)) {
				t.Errorf("progress %q; want that of %d MB", console.String(), mb)
			}
		})
	}
}

// What is written can be replaced, and nothing else.
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
	}{{"B", 1, true}, {"ABC", 0, true}, {"", 3, true}, {"x", 3, false}, {"xx", 2, false}, {"x", -1, false}, {"x", 1 << 62, false}} {
		if n, err := w.WriteAt([]byte(tt.text), tt.offset); (err == nil) != tt.ok || tt.ok && n != len(tt.text) || !tt.ok && !errors.Is(err, io.ErrShortWrite) {
			t.Errorf("WriteAt(%q, %d) = %d, %v; want ok %v", tt.text, tt.offset, n, err, tt.ok)
		}
	}
	if got := string(mustRead(t, s.path("/f"))); got != "headABCl" {
		t.Errorf("the file holds %q", got)
	}
}

// An unknown format is refused when the configuration is read.
func TestUnknownFormat(t *testing.T) {
	cfg := Config{Targets: []Target{{Type: TargetRaw, Device: "/dev/x"}}, Format: "qcow"}
	if err := cfg.Validate(); !errors.Is(err, ErrConfig) || err.Error() != `bad capture configuration: format "qcow" is not one of elf` {
		t.Errorf("Validate: %v", err)
	}
	for _, cfg.Format = range []Format{"", FormatELF} {
		if err := cfg.Validate(); err != nil {
			t.Errorf("format %q: %v", cfg.Format, err)
		}
	}
}
