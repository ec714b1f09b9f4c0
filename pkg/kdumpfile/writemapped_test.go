package kdumpfile_test

import (
	"bytes"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"

	"github.com/gokexec/gokexec/internal/dumptest"
	"github.com/gokexec/gokexec/internal/mapread"
	"github.com/gokexec/gokexec/pkg/kdumpfile"
	"github.com/gokexec/gokexec/pkg/memmap"
)

// mappedFile counts what is taken from a mapped file.
type mappedFile struct {
	*mapread.File
	inPlace atomic.Int64 // bytes
}

func (c *mappedFile) InPlace(offset int64, n int, use func(b []byte) error) (bool, error) {
	ok, err := c.File.InPlace(offset, n, use)
	if ok {
		c.inPlace.Add(int64(n))
	}
	return ok, err
}

// mappedImage is an ELF dump with 9 MiB of memory at 1 GiB in a file, of which every second page is zero.
func mappedImage(t *testing.T) (name string, image, data []byte) {
	t.Helper()
	core := testImage(dumptest.Archs[0])
	data = make([]byte, 9<<20)
	r := rand.NewChaCha8([32]byte{3})
	for at := 0; at < len(data); at += 8192 {
		r.Read(data[at:][:2048])
	}
	core.Loads = append(core.Loads, dumptest.Load{Phys: 1 << 30, Data: data})
	image = core.Bytes()
	name = filepath.Join(t.TempDir(), "vmcore")
	if err := os.WriteFile(name, image, 0o600); err != nil {
		t.Fatal(err)
	}
	return name, image, data
}

func openMapped(t *testing.T, name string) (*mappedFile, kdumpfile.Dump) {
	t.Helper()
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	st, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	c := &mappedFile{File: mapread.New(f, st.Size(), 2)}
	t.Cleanup(func() {
		c.Close()
		f.Close()
	})
	d, err := kdumpfile.Open(c)
	if err != nil {
		t.Fatal(err)
	}
	return c, d
}

// What is written from a mapped file is what is written from any other, and most of it without a copy.
func TestWriteMapped(t *testing.T) {
	name, image, data := mappedImage(t)
	for _, codec := range codecs {
		opt := kdumpfile.WriteOptions{Codec: codec, OmitZero: true, Workers: 1}
		var want, got memFile
		if _, err := kdumpfile.WriteCompressed(t.Context(), &want, open(t, image), opt); err != nil {
			t.Fatal(err)
		}
		c, d := openMapped(t, name)
		if _, err := kdumpfile.WriteCompressed(t.Context(), &got, d, opt); err != nil {
			t.Fatal(err)
		}
		// The first block has the time.
		if !bytes.Equal(got.b[4096:], want.b[4096:]) {
			t.Errorf("%v: the dumps differ", codec)
		}
		if n := c.inPlace.Load(); n < int64(len(data)/2) {
			t.Errorf("%v: %d bytes of %d were taken in place", codec, n, len(data))
		}
	}
	var want, got memFile
	if _, err := kdumpfile.WriteELF(t.Context(), &want, open(t, image), kdumpfile.WriteOptions{OmitZero: true}); err != nil {
		t.Fatal(err)
	}
	_, d := openMapped(t, name)
	if _, err := kdumpfile.WriteELF(t.Context(), &got, d, kdumpfile.WriteOptions{OmitZero: true}); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got.b, want.b) {
		t.Error("the ELF dumps differ")
	}
}

// A file that becomes shorter while it is written from has pages that can't be read, and no others are lost.
func TestWriteMappedCut(t *testing.T) {
	for _, codec := range codecs {
		name, image, data := mappedImage(t)
		_, d := openMapped(t, name)
		kept := int64(len(image) - 4<<20) // bytes of the file; the data is at its end
		var out memFile
		var bad []memmap.PhysAddr
		done, err := kdumpfile.WriteCompressed(t.Context(), &out, d, kdumpfile.WriteOptions{Codec: codec, Workers: 1,
			Advance: func(p kdumpfile.Progress) {
				if p.Saved > uint64(len(data)/4096/4) {
					if err := os.Truncate(name, kept); err != nil {
						t.Fatal(err)
					}
				}
			},
			Unreadable: func(addr memmap.PhysAddr, err error) { bad = append(bad, addr) },
		})
		if err != nil || done.Incomplete || done.Unreadable != uint64(len(bad)) || len(bad) < 1022 || len(bad) > 1025 {
			t.Fatalf("%v: WriteCompressed() = %+v, %v; %d pages were reported, want 4 MiB of them", codec, done, err, len(bad))
		}
		got := make([]byte, len(data))
		if n, err := open(t, out.b).ReadPhysAt(got, 1<<30); n < len(got) || err != nil {
			t.Fatalf("%v: ReadPhysAt() = %d, %v", codec, n, err)
		}
		whole := int(bad[0] - 1<<30)
		if !bytes.Equal(got[:whole], data[:whole]) || !bytes.Equal(got[whole:], make([]byte, len(data)-whole)) {
			t.Errorf("%v: before %v not all is there, or behind it something", codec, bad[0])
		}
	}
}
