package vmcore_test

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"testing"

	"github.com/gokexec/gokexec/pkg/vmcore"
)

// counted is memory from address base on, which counts what is read of it.
type counted struct {
	vmcore.Memory
	base  uint64
	data  []byte
	bytes int
}

func (m *counted) ReadVirtAt(b []byte, addr uint64) (int, error) {
	if addr < m.base || addr-m.base >= uint64(len(m.data)) {
		return 0, vmcore.ErrNotInDump
	}
	n := copy(b, m.data[addr-m.base:])
	m.bytes += n
	if n < len(b) {
		return n, vmcore.ErrNotInDump
	}
	return n, nil
}

// Whatever is read, and in whatever order, a cache answers as the memory does.
func TestCache(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	mem := &counted{base: 0xffffffff81000800, data: make([]byte, 1<<20+77)}
	for i := range mem.data {
		mem.data[i] = byte(r.Uint32())
	}
	c := vmcore.NewCache(mem, 64<<10)
	for range 20000 {
		addr := mem.base - 100 + r.Uint64N(uint64(len(mem.data)+200))
		n := 1 + r.IntN(1<<r.IntN(15))
		got, want := make([]byte, n), make([]byte, n)
		n1, err1 := mem.ReadVirtAt(want, addr)
		n2, err2 := c.ReadVirtAt(got, addr)
		if n1 != n2 || errors.Is(err1, vmcore.ErrNotInDump) != errors.Is(err2, vmcore.ErrNotInDump) || !bytes.Equal(got, want) {
			t.Fatalf("ReadVirtAt(%d bytes at %#x) = %d, %v; the memory itself %d, %v", n, addr, n2, err2, n1, err1)
		}
	}
	if n, err := c.ReadVirtAt(make([]byte, 16), ^uint64(7)); n != 0 || !errors.Is(err, vmcore.ErrNotInDump) {
		t.Errorf("at the end of the addresses: %d, %v", n, err)
	}
}

func TestCacheSaves(t *testing.T) {
	mem := &counted{base: 0x1000000, data: make([]byte, 1<<20)}
	c := vmcore.NewCache(mem, 64<<10)
	for i := range uint64(10000) {
		if _, err := c.ReadVirtAt(make([]byte, 8), mem.base+i%8*4096+i%4096&^7); err != nil {
			t.Fatal(err)
		}
	}
	if mem.bytes > 64<<10 {
		t.Errorf("%d bytes were read for those of 8 pages", mem.bytes)
	}
}

func TestSection(t *testing.T) {
	mem := &counted{base: 0x1000000, data: []byte("0123456789")}
	r := &vmcore.Reader{Memory: mem}
	if b, err := io.ReadAll(r.Section(mem.base+2, 5, "digits")); string(b) != "23456" || err != nil {
		t.Errorf("Section = %q, %v", b, err)
	}
	b, err := io.ReadAll(r.Section(mem.base+8, 5, "digits"))
	if e := (*vmcore.ReadError)(nil); string(b) != "89" || !errors.As(err, &e) || e.What != "digits" {
		t.Errorf("Section beyond the end = %q, %v", b, err)
	}
}
