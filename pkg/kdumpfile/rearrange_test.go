package kdumpfile_test

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/gokexec/gokexec/internal/dumptest"
	"github.com/gokexec/gokexec/pkg/kdumpfile"
)

// memoryFile is a file that takes at most limit bytes.
type memoryFile struct {
	data  []byte
	limit int64
}

var errLimit = errors.New("the file is full")

func (f *memoryFile) WriteAt(b []byte, off int64) (int, error) {
	if off+int64(len(b)) > f.limit {
		return 0, errLimit
	}
	if n := off + int64(len(b)); n > int64(len(f.data)) {
		f.data = append(f.data, make([]byte, n-int64(len(f.data)))...)
	}
	return copy(f.data[off:], b), nil
}

func TestRearrange(t *testing.T) {
	file := bytes.Repeat([]byte("a dump, or whatever it is that was flattened. "), 20000)
	stream := dumptest.FlattenFile(file, 300000)
	r := strings.NewReader(string(stream) + "what follows on a device")
	var w = memoryFile{limit: 1 << 30}
	n, err := kdumpfile.Rearrange(&w, r)
	if err != nil || n != int64(len(file)) || !bytes.Equal(w.data, file) {
		t.Fatalf("Rearrange() = %d, %v, %d bytes equal %v; want %d bytes", n, err, len(w.data), bytes.Equal(w.data, file), len(file))
	}
	if rest, _ := io.ReadAll(r); string(rest) != "what follows on a device" {
		t.Errorf("after the end mark %.40q is left", rest)
	}
	for _, cut := range []int{0, 5, 16, 4095, 4096, 4100, 5000, len(stream) - 1} {
		w := memoryFile{limit: 1 << 30}
		if _, err := kdumpfile.Rearrange(&w, bytes.NewReader(stream[:cut])); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("Rearrange of %d bytes = %v; want io.ErrUnexpectedEOF", cut, err)
		}
	}
	for _, other := range []string{"\x7fELF", strings.Repeat("\x7fELF and more", 1000), strings.Replace(string(stream), "\x01", "\x02", 1)} {
		if _, err := kdumpfile.Rearrange(&memoryFile{limit: 1 << 30}, strings.NewReader(other)); !errors.Is(err, kdumpfile.ErrFormat) {
			t.Errorf("Rearrange of %.20q = %v; want ErrFormat", other, err)
		}
	}
	w = memoryFile{limit: 400000}
	if _, err := kdumpfile.Rearrange(&w, bytes.NewReader(stream)); !errors.Is(err, errLimit) {
		t.Errorf("Rearrange into a full file = %v; want its error", err)
	}
	bad := bytes.Clone(stream)
	bad[4096] = 0x80
	if _, err := kdumpfile.Rearrange(&memoryFile{limit: 1 << 30}, bytes.NewReader(bad)); err == nil {
		t.Error("Rearrange of a record at a negative place = no error")
	}
}

// A stream that is read by Open and one that is rearranged first are the same file.
func FuzzRearrange(f *testing.F) {
	f.Add(dumptest.Flatten(dumptest.FlatRecord{Offset: 3, Data: []byte("defg")}, dumptest.FlatRecord{Offset: 0, Data: []byte("abcd")}))
	f.Fuzz(func(t *testing.T, stream []byte) {
		w := memoryFile{limit: 1 << 20}
		n, err := kdumpfile.Rearrange(&w, bytes.NewReader(stream))
		if err != nil {
			return
		}
		flat, err := kdumpfile.NewFlattened(bytes.NewReader(stream), int64(len(stream)))
		if err != nil || flat.Damage != nil || flat.Size() != n {
			t.Fatalf("NewFlattened() = %v, damage %v, size %d; Rearrange took it for %d bytes", err, flat.Damage, flat.Size(), n)
		}
		got := make([]byte, n)
		if _, err := flat.ReadAt(got, 0); err != nil && err != io.EOF || !bytes.Equal(got, w.data) {
			t.Fatalf("the file is %q, %v; rearranged it is %q", got, err, w.data)
		}
	})
}
