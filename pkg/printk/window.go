package printk

import "github.com/gokexec/gokexec/pkg/vmcore"

// window reads ahead, so that small structures that follow each other don't cost a read
// each, without holding the array they are in.
type window struct {
	core vmcore.Memory
	buf  []byte
	addr uint64 // virtual address of buf[0]
	n    int    // bytes of buf that are valid

	// A page that couldn't be read isn't tried again for each structure in it.
	badPage uint64
	badErr  error
}

const pageMask = ^uint64(4095)

// maxUnreadablePages is how many pages in a row may be missing from a log buffer before the
// rest is given up: the pointer to it or its size must be garbage.
const maxUnreadablePages = 4096

// maxGarbage is how many bytes in a row may be there and make no sense.
const maxGarbage = maxUnreadablePages * 4096

// newWindow returns a window of size bytes; no request may be larger.
func newWindow(core vmcore.Memory, size int) *window {
	return &window{core: core, buf: make([]byte, size)}
}

// bytes returns n bytes at the virtual address addr, valid until the next call. It reads
// ahead at most room bytes in all: what belongs to the same array from addr on.
func (w *window) bytes(addr uint64, n int, room uint64) ([]byte, error) {
	if d := addr - w.addr; d < uint64(w.n) && uint64(w.n)-d >= uint64(n) {
		return w.buf[d:][:n], nil
	}
	if w.badErr != nil && addr&pageMask == w.badPage {
		return nil, w.badErr
	}
	want := len(w.buf)
	if uint64(want) > room {
		want = max(int(room), n)
	}
	got, err := w.core.ReadVirtAt(w.buf[:want], addr)
	w.addr, w.n = addr, got
	if got < n {
		err = &vmcore.ReadError{Err: err}
		if page := addr & pageMask; (addr+uint64(got))&pageMask == page {
			w.badPage, w.badErr = page, err
		}
		return nil, err
	}
	return w.buf[:n], nil
}
