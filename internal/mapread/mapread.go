// Package mapread reads a file through mappings of parts of it (mmap(2)). That is for /proc/vmcore:
// there a read maps, copies and unmaps each page of the old memory by itself, and flushes the TLB for
// it, where a mapping is made once for many pages (kernel: fs/proc/vmcore.c, read_from_oldmem and
// mmap_vmcore). From a file in the page cache, it saves a copy.
package mapread

import (
	"errors"
	"io"
	"os"
	"runtime/debug"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// WindowSize is how much is mapped at a time, in bytes.
const WindowSize = 4 << 20

// MaxInPlace is how much InPlace always gives if it is mapped at all, in bytes: so much of the next part each window has,
// too.
const MaxInPlace = 256 << 10

// A mapping pays when at least so many bytes are read of it, or it is read a second time: it costs
// as much as some twenty reads.
const worthMapping = 128 << 10

// remembered is how many parts are known to have been read.
const remembered = 16

// File reads a file. What can't be mapped, and a page that faults, is read by read(2) as [Pages] do,
// whose error it is then. Its ReadAt may be called concurrently.
type File struct {
	file io.ReaderAt
	fd   int
	size int64

	page     int         // bytes
	complete atomic.Bool // mappings have all their pages

	mu      sync.Mutex
	windows []window
	clock   uint64            // of the uses
	refused bool              // the file can't be mapped at all
	read    [remembered]int64 // bases of parts that were read once, plus 1
	next    int               // of read, to replace
}

// window is a part that is mapped.
type window struct {
	data  []byte // nil: nothing is mapped
	base  int64  // offset of data in the file, a multiple of WindowSize
	users int    // that read now
	used  uint64 // when it was last
}

// New reads f, which has size bytes, by up to so many windows; it has to stay open meanwhile.
func New(f *os.File, size int64, windows int) *File {
	page := os.Getpagesize()
	return &File{file: Pages(f, page), fd: int(f.Fd()), size: size, page: page, windows: make([]window, max(windows, 1))}
}

// Size returns the size that the file was said to have, in bytes.
func (f *File) Size() int64 { return f.size }

// Mapped reports whether the file can be mapped, as far as was seen.
func (f *File) Mapped() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return !f.refused
}

// ReadAt reads as io.ReaderAt says.
func (f *File) ReadAt(b []byte, offset int64) (int, error) {
	for n := 0; n < len(b); {
		at := offset + int64(n)
		if at < 0 || at >= f.size {
			m, err := f.file.ReadAt(b[n:], at)
			return n + m, err
		}
		base := at &^ (WindowSize - 1)
		part := b[n:min(int64(len(b)), int64(n)+min(base+WindowSize, f.size)-at)]
		if !f.copy(part, base, at-base) {
			if m, err := f.file.ReadAt(part, at); m < len(part) {
				return n + m, err
			}
		}
		n += len(part)
	}
	return len(b), nil
}

// copy fills b from the window at a base, and says whether it could.
func (f *File) copy(b []byte, base, offset int64) bool {
	w := f.acquire(base, len(b))
	if w == nil {
		return false
	}
	f.populate(w, int(offset), len(b))
	ok := copyMapped(b, w.data[offset:])
	f.release(w)
	return ok
}

// InPlace calls use with n bytes, at most MaxInPlace, at an offset where they are mapped, which are valid until it returns. They
// may change meanwhile if the file does. false means that they aren't mapped, or that a page of them couldn't be read, so that
// what use has done is worth nothing: ReadAt tells then what is there.
func (f *File) InPlace(offset int64, n int, use func(b []byte) error) (ok bool, err error) {
	base := offset &^ (WindowSize - 1)
	if offset < 0 || n < 0 || offset-base > WindowSize+MaxInPlace-int64(n) || offset > f.size-int64(n) {
		return false, nil
	}
	w := f.acquire(base, n)
	if w == nil {
		return false, nil
	}
	defer f.release(w)
	f.populate(w, int(offset-base), n)
	ok = catch(func() { err = use(w.data[offset-base:][:n:n]) })
	return ok, err
}

// acquire gives the window at a base, mapped, to read n bytes; nil if that can't be, or doesn't pay.
func (f *File) acquire(base int64, n int) *window {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.refused {
		return nil
	}
	f.clock++
	var free *window
	for i := range f.windows {
		w := &f.windows[i]
		if w.data != nil && w.base == base {
			w.users, w.used = w.users+1, f.clock
			return w
		}
		if w.users == 0 && (free == nil || w.used < free.used) {
			free = w
		}
	}
	if free == nil || n < worthMapping && !f.again(base) {
		return nil
	}
	if free.data != nil {
		_ = unix.Munmap(free.data) // fails for no mapping only
		free.data = nil
	}
	data, err := unix.Mmap(f.fd, base, int(min(WindowSize+MaxInPlace, f.size-base)), unix.PROT_READ, unix.MAP_PRIVATE)
	if err != nil {
		// Only what another part, or another moment, may do better is tried again.
		f.refused = !errors.Is(err, unix.EAGAIN) && !errors.Is(err, unix.ENOMEM) && !errors.Is(err, unix.EINVAL)
		return nil
	}
	free.data, free.base, free.users, free.used = data, base, 1, f.clock
	return free
}

// populate maps the pages of n bytes at an offset of a window, all at once: a fault for each few of them costs more than
// what is in them. It is advice: a page that can't be read faults later.
func (f *File) populate(w *window, offset, n int) {
	if n < f.page || f.complete.Load() {
		return
	}
	skip := offset & (f.page - 1)
	if err := unix.Madvise(w.data[offset-skip:][:skip+n], unix.MADV_POPULATE_READ); errors.Is(err, unix.EINVAL) {
		// The mapping has its pages from the begin, as that of /proc/vmcore, or Linux is older than 5.14.
		f.complete.Store(true)
	}
}

// again reports whether a part was read a short while ago, and remembers it.
func (f *File) again(base int64) bool {
	for _, b := range f.read {
		if b == base+1 {
			return true
		}
	}
	f.read[f.next] = base + 1
	f.next = (f.next + 1) % remembered
	return false
}

func (f *File) release(w *window) {
	f.mu.Lock()
	w.users--
	f.mu.Unlock()
}

// copyMapped copies mapped memory, and reports whether it could.
func copyMapped(b, mapped []byte) bool { return catch(func() { copy(b, mapped) }) }

// catch reports whether do ended without a fault: a page of a mapping that is broken, or that
// the file doesn't have any more, faults (SIGBUS).
func catch(do func()) (ok bool) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if p := recover(); p != nil {
			var fault interface{ Addr() uintptr }
			if err, is := p.(error); !is || !errors.As(err, &fault) {
				panic(p)
			}
			ok = false
		}
	}()
	do()
	return true
}

// Close unmaps everything but what a ReadAt that is still under way uses.
func (f *File) Close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.refused = true
	var errs []error
	for i := range f.windows {
		if w := &f.windows[i]; w.data != nil && w.users == 0 {
			errs = append(errs, unix.Munmap(w.data))
			w.data = nil
		}
	}
	return errors.Join(errs...)
}
