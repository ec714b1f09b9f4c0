package printk_test

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/gokexec/gokexec/internal/alloctest"
	"github.com/gokexec/gokexec/internal/dumptest"
	"github.com/gokexec/gokexec/pkg/elfcore"
	"github.com/gokexec/gokexec/pkg/printk"
)

func TestAppendText(t *testing.T) {
	for _, tt := range []struct {
		name string
		rec  printk.Record
		want string
	}{
		{"boot", printk.Record{HasTime: true, Text: []byte("Linux version")}, "[    0.000000] Linux version\n"},
		{"microseconds are cut", printk.Record{HasTime: true, Time: 1999999999, Text: []byte("x")}, "[    1.999999] x\n"},
		{"long uptime", printk.Record{HasTime: true, Time: 12345678 * time.Second, Text: []byte("x")}, "[12345678.000000] x\n"},
		{"no text", printk.Record{HasTime: true, Time: 5 * time.Second}, "[    5.000000] \n"},
		{"newline inside", printk.Record{HasTime: true, Text: []byte("a\nb\n")}, "[    0.000000] a\nb\n\n"},
		{"white space stays", printk.Record{HasTime: true, Text: []byte(" \t\v\f\r~")}, "[    0.000000]  \t\v\f\r~\n"},
		{"escapes", printk.Record{HasTime: true, Text: []byte("\x00\x08\x0e\x1b\x7f\x80\xc3\xa9\xff")},
			"[    0.000000] \\x00\\x08\\x0e\\x1b\\x7f\\x80\\xc3\\xa9\\xff\n"},
		{"no time", printk.Record{Text: []byte("x")}, "x\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := string(printk.AppendText(nil, tt.rec)); got != tt.want {
				t.Errorf("AppendText(%+v) = %q; want %q", tt.rec, got, tt.want)
			}
		})
	}
}

type failingWriter struct{ left int }

var errFull = errors.New("disk full")

func (w *failingWriter) Write(b []byte) (int, error) {
	if w.left -= len(b); w.left < 0 {
		return 0, errFull
	}
	return len(b), nil
}

// TestWriteText writes a log that is much larger than the buffers.
func TestWriteText(t *testing.T) {
	m := dumptest.NewImage(dumptest.Archs[0], "6.12.0")
	r := dumptest.NewRing(m, dumptest.RingConfig{CountBits: 12, SizeBits: 19})
	for i := range 3000 {
		r.Add(entry(i, 90+i%60), dumptest.Finalized)
	}
	r.Store()
	log := open(t, m.Core())
	var want, got bytes.Buffer
	for _, e := range r.Expect() {
		want.Write(printk.AppendText(nil, printk.Record{HasTime: true, Time: time.Duration(e.Time), Text: e.Text}))
	}
	st, err := printk.WriteText(&got, log)
	if !bytes.Equal(got.Bytes(), want.Bytes()) || err != nil || st.Records != 3000 {
		t.Errorf("WriteText() wrote %d bytes, %+v, %v; want %d bytes", got.Len(), st, err, want.Len())
	}
	for _, left := range []int{0, 100000} {
		if _, err := printk.WriteText(&failingWriter{left}, log); !errors.Is(err, errFull) {
			t.Errorf("WriteText(to a full disk, %d) = %v; want %v", left, err, errFull)
		}
	}
	n := testing.AllocsPerRun(5, func() { printk.WriteText(io.Discard, log) })
	// A device's name is one string per record; nothing else grows with the log.
	if n > 3000+100 {
		t.Errorf("WriteText() allocates %v times for 3000 records", n)
	}
}

func TestReadErrors(t *testing.T) {
	arch := dumptest.Archs[0]
	ringInfo := func() string {
		m := dumptest.NewImage(arch, "6.12.0")
		dumptest.NewRing(m, dumptest.RingConfig{CountBits: 3, SizeBits: 8}).Store()
		return string(m.Core().Notes[1].Desc)
	}()
	for _, tt := range []struct {
		name    string
		info    string
		wantErr string
	}{
		{"nothing", "OSRELEASE=6.12.0\n", "no kernel log symbols"},
		{"no memory there", ringInfo, "read prb: elfcore: virtual address"},
		{"no descs", strings.ReplaceAll(ringInfo, "OFFSET(prb_desc_ring.descs)", "OFFSET(x.y)"), "VMCOREINFO has no OFFSET(prb_desc_ring.descs)"},
		{"no size", strings.ReplaceAll(ringInfo, "SIZE(printk_info)", "SIZE(y)"), "VMCOREINFO has no SIZE(printk_info)"},
		{"member outside", ringInfo + "OFFSET(prb_desc.state_var)=4000\n", "outside its structure"},
		{"absurd offset", ringInfo + "OFFSET(printk_ringbuffer.desc_ring)=99999999999\n", "more than 4096"},
		{"records without size", "SYMBOL(log_first_idx)=ffffffff81000000\nSYMBOL(log_buf)=1\n", "VMCOREINFO has no SYMBOL(log_buf_len)"},
		{"bytes without end", "SYMBOL(log_buf)=ffffffff81000000\n", "VMCOREINFO has no SYMBOL(log_end)"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			core := dumptest.NewImage(arch, "6.12.0").Core()
			core.Notes[1].Desc = []byte(tt.info)
			b := core.Bytes()
			f, err := elfcore.New(bytes.NewReader(b), int64(len(b)))
			if err != nil {
				t.Fatal(err)
			}
			if _, err := printk.Read(f); err == nil || !strings.Contains(err.Error(), tt.wantErr) {
				t.Errorf("Read() = %v; want %q in it", err, tt.wantErr)
			}
		})
	}
}

// TestRingGarbageSize claims the largest possible ring in a dump that has next to nothing of it.
func TestRingGarbageSize(t *testing.T) {
	m := dumptest.NewImage(dumptest.Archs[0], "6.12.0")
	r := dumptest.NewRing(m, dumptest.RingConfig{CountBits: 4, SizeBits: 9, Claim: dumptest.Claim{CountBits: 26, SizeBits: 31, TailBack: 1 << 40}})
	r.Add(entry(0, 30), dumptest.Finalized)
	r.Store()
	log := open(t, m.Core())
	var st printk.Stats
	if used := alloctest.Bytes(func() { _, st = collect(log) }); st.Damaged < 1<<25 || used > 16<<20 {
		t.Errorf("%+v, %d bytes allocated; want damage of 1<<26 and at most 16 MiB", st, used)
	}
}

// TestReadImpossibleSizes has garbage where the geometry of the log is.
func TestReadImpossibleSizes(t *testing.T) {
	for _, tt := range []struct {
		name, wantErr string
		spoil         func(m *dumptest.Image)
	}{
		{"count_bits", "count_bits is 60", func(m *dumptest.Image) {
			dumptest.NewRing(m, dumptest.RingConfig{CountBits: 3, SizeBits: 8, Claim: dumptest.Claim{CountBits: 60}}).Store()
		}},
		{"size_bits", "size_bits is 33", func(m *dumptest.Image) {
			dumptest.NewRing(m, dumptest.RingConfig{CountBits: 3, SizeBits: 8, Claim: dumptest.Claim{SizeBits: 33}}).Store()
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m := dumptest.NewImage(dumptest.Archs[0], "6.12.0")
			tt.spoil(m)
			b := m.Core().Bytes()
			f, err := elfcore.New(bytes.NewReader(b), int64(len(b)))
			if err != nil {
				t.Fatal(err)
			}
			if _, err := printk.Read(f); err == nil || !strings.Contains(err.Error(), tt.wantErr) {
				t.Errorf("Read() = %v; want %q in it", err, tt.wantErr)
			}
		})
	}
}

// As makedumpfile 1.7.8 prints records: with the caller, and continued lines below the text.
func TestAppendTextCaller(t *testing.T) {
	for _, tt := range []struct {
		r    printk.Record
		want string
	}{
		{printk.Record{HasTime: true, Time: 1234567 * time.Microsecond, HasCaller: true, Caller: 1, Text: []byte("a\nb\x01")}, "[    1.234567] [      T1] a\n                          b\\x01\n"},
		{printk.Record{HasTime: true, HasCaller: true, Caller: printk.CallerIsCPU | 3, Text: []byte("x")}, "[    0.000000] [      C3] x\n"},
		{printk.Record{HasTime: true, HasCaller: true, Caller: 1<<31 - 1, Text: []byte("x")}, "[    0.000000] [T2147483647] x\n"},
		{printk.Record{HasTime: true, Text: []byte("x\ny")}, "[    0.000000] x\n               y\n"},
		{printk.Record{Text: []byte("x\ny")}, "x\ny\n"},
	} {
		if got := string(printk.AppendTextCaller([]byte("> "), tt.r)); got != "> "+tt.want {
			t.Errorf("AppendTextCaller(%+v) = %q; want %q", tt.r, got, "> "+tt.want)
		}
	}
	m := dumptest.NewImage(dumptest.Archs[0], "6.12.0")
	r := dumptest.NewRing(m, dumptest.RingConfig{CountBits: 6, SizeBits: 11})
	r.Add(dumptest.Entry{Text: []byte("one"), Caller: 7}, dumptest.Finalized)
	r.Add(dumptest.Entry{}, dumptest.Finalized)
	r.Add(dumptest.Entry{Text: []byte("two"), Caller: 7}, dumptest.Finalized)
	r.Store()
	var b bytes.Buffer
	st, err := printk.WriteTextCaller(&b, open(t, m.Core()))
	if want := "[    0.000000] [      T7] one\n[    0.000000] [      T7] two\n"; err != nil || b.String() != want || st.Records != 3 {
		t.Errorf("WriteTextCaller() = %q, %+v, %v; want %q", b.String(), st, err, want)
	}
}
