package report

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"
)

func TestParts(t *testing.T) {
	r := sample()
	var b, text, data bytes.Buffer
	if err := errors.Join(r.WriteParts(&b), r.WriteText(&text), r.WriteJSON(&data)); err != nil {
		t.Fatal(err)
	}
	p, err := ReadParts(b.Bytes())
	if err != nil || p.Head != r.Head() || !bytes.Equal(p.Text, text.Bytes()) || !bytes.Equal(p.JSON, data.Bytes()) {
		t.Errorf("read back: %+v, %v", p, err)
	}
	// A writer that was killed.
	for n := range b.Len() {
		p, err := ReadParts(b.Bytes()[:n])
		if !errors.Is(err, ErrParts) || p.JSON != nil || p.Text != nil && !bytes.Equal(p.Text, text.Bytes()) {
			t.Fatalf("of %d bytes: %+v, %v; want parts that are whole", n, p, err)
		}
	}
	for _, more := range []string{"x\x00\x00\x00", b.String() + "x"} {
		if _, err := ReadParts([]byte(more)); !errors.Is(err, ErrParts) {
			t.Errorf("%.20q: %v; want ErrParts", more, err)
		}
	}
}

// A machine with a thousand CPUs and blocked tasks still has a report.
func TestPartsAreBounded(t *testing.T) {
	r := sample()
	for range 2000 {
		c, task := r.Others[1], r.Blocked[0]
		c.Stack = &Stack{Frames: slices.Repeat(c.Stack.Frames, 20)}
		r.Others, r.Blocked = append(r.Others, c), append(r.Blocked, task)
	}
	var b bytes.Buffer
	if err := r.WriteParts(&b); err != nil || b.Len() > MaxParts || b.Len() < MaxParts/8 {
		t.Fatalf("%d bytes, %v; want less than %d", b.Len(), err, MaxParts)
	}
	p, err := ReadParts(b.Bytes())
	if err != nil || !strings.Contains(string(p.Text), "more CPUs: left out") {
		t.Errorf("%v; want a word on what is left out", err)
	}
	r = sample()
	r.LogTail = []string{strings.Repeat("x", MaxParts)}
	if err := r.WriteParts(&b); err == nil {
		t.Error("a line of 1 MiB fits")
	}
}

func FuzzReadParts(f *testing.F) {
	var b bytes.Buffer
	if err := logOnly().WriteParts(&b); err != nil {
		f.Fatal(err)
	}
	f.Add(b.Bytes())
	f.Add([]byte("{}\x00\x00\x00"))
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := ReadParts(b)
		if err == nil && (bytes.Count(b, []byte{0}) != 3 || len(p.Text)+len(p.JSON) >= len(b)) {
			t.Errorf("%q is whole", b)
		}
	})
}
