package wire

import (
	"bytes"
	"errors"
	"io"
	"reflect"
	"strings"
	"testing"
)

func frame(t testing.TB, message any) string {
	t.Helper()
	b, err := AppendFrame(nil, message)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestReader(t *testing.T) {
	one := Reply{Type: TypeDone, ID: 1, Data: []byte("\x00\x1e\n\xff")}
	two := Reply{Type: TypeHello, Hello: &Hello{Release: "6.1"}}
	a, b := frame(t, one), frame(t, two)
	for _, test := range []struct {
		name, input string
		want        []Reply
		corrupt     int
		noise       string
	}{
		{name: "two frames", input: a + b, want: []Reply{one, two}},
		{name: "carriage returns", input: strings.ReplaceAll(a, "\n", "\r\n"), want: []Reply{one}},
		{name: "noise before and between", input: "[ 1.0] oops\n" + a + "\n\n" + b, want: []Reply{one, two}, noise: "[ 1.0] oops"},
		{name: "noise on the same line", input: "Booting" + a, want: []Reply{one}, noise: "Booting"},
		{name: "half a frame of another kernel", input: a[:20] + b, want: []Reply{two}, noise: a[:20]},
		{name: "changed byte", input: strings.Replace(a, "done", "dune", 1) + b, want: []Reply{two}, corrupt: 1},
		{name: "lost byte", input: a[:30] + a[31:] + b, want: []Reply{two}, corrupt: 1},
		{name: "short", input: "\x1e123\n" + b, want: []Reply{two}, corrupt: 1},
		{name: "no hex", input: "\x1exxxxxxxx {}\n" + b, want: []Reply{two}, corrupt: 1},
		{name: "too long", input: strings.Repeat("x", 5000) + "\n" + b, want: []Reply{two}, corrupt: 1},
		{name: "end in a frame", input: a + b[:len(b)-3], want: []Reply{one}},
	} {
		r := NewReader(strings.NewReader(test.input), 4096)
		var noise bytes.Buffer
		r.Noise = func(b []byte) { noise.Write(b) }
		var got []Reply
		corrupt := 0
		for {
			var reply Reply
			err := r.Read(&reply)
			if errors.Is(err, ErrCorrupt) {
				corrupt++
				continue
			}
			if err != nil {
				if err != io.EOF {
					t.Errorf("%s: Read = %v; want EOF", test.name, err)
				}
				break
			}
			got = append(got, reply)
		}
		if !reflect.DeepEqual(got, test.want) || corrupt != test.corrupt || noise.String() != test.noise {
			t.Errorf("%s: got %+v, %d corrupt, noise %q; want %+v, %d, %q",
				test.name, got, corrupt, noise.String(), test.want, test.corrupt, test.noise)
		}
	}
}

func TestWriterLimit(t *testing.T) {
	var b bytes.Buffer
	w := NewWriter(&b, MaxRequest)
	if err := w.Write(Reply{Data: make([]byte, Chunk)}); err != nil {
		t.Errorf("Write of a chunk = %v; want nil", err)
	}
	n := b.Len()
	if err := w.Write(Reply{Data: make([]byte, MaxRequest)}); err == nil || b.Len() != n {
		t.Errorf("Write of %d bytes = %v, %d bytes written; want an error and nothing", MaxRequest, err, b.Len()-n)
	}
}

// Whatever surrounds a frame, as long as it ends with a line end, the frame
// arrives, and it is the last thing that does.
func FuzzReader(f *testing.F) {
	f.Add([]byte("noise"), []byte("content"))
	f.Add([]byte("\x1e00000000 {}\n\x1e"), []byte{0, '\n', 0x1e})
	f.Fuzz(func(t *testing.T, before, content []byte) {
		if len(before)+2*len(content) > 1<<15 {
			return
		}
		want := Reply{Type: TypeOutput, ID: 7, Data: content}
		input := string(before) + "\n" + frame(t, want)
		r := NewReader(strings.NewReader(input), 1<<17)
		var last Reply
		for {
			var reply Reply
			err := r.Read(&reply)
			if errors.Is(err, ErrCorrupt) {
				continue
			}
			if err != nil {
				break
			}
			last = reply
		}
		if last.ID != want.ID || !bytes.Equal(last.Data, content) {
			t.Errorf("got %+v; want %+v", last, want)
		}
	})
}

func TestFillNoncePage(t *testing.T) {
	nonce := bytes.Repeat([]byte{0xa5}, NonceSize)
	pages := map[string]bool{}
	for index := range uint64(4) {
		page := bytes.Repeat([]byte{0xff}, 4096)
		FillNoncePage(page, nonce, index)
		if !bytes.HasPrefix(page, nonce) || page[NonceSize] != byte(index) || page[NonceSize+8] != 0 {
			t.Errorf("page %d begins with %x", index, page[:64])
		}
		pages[string(page[64:])] = true
	}
	if len(pages) != 4 {
		t.Errorf("%d different pages; want 4", len(pages))
	}
}
