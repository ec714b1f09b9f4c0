package capture

import (
	"errors"
	"io"

	"github.com/gokexec/gokexec/pkg/memmap"
)

// chunkSize is the unit of the copy, in bytes: large enough for /proc/vmcore,
// small beside the memory of a capture kernel.
const chunkSize = 1 << 20

// maxListedPages is how many unreadable pages are listed by address.
const maxListedPages = 16

// errSource marks an error that another target would meet as well.
var errSource = errors.New("read the memory")

// pageLoss is what could not be read.
type pageLoss struct {
	pages int64
	first []memmap.PhysAddr
	err   error // the first one's
}

// add counts a page; known says whether its address is.
func (l *pageLoss) add(addr memmap.PhysAddr, known bool, err error) {
	if l.pages++; l.pages == 1 {
		l.err = err
	}
	if len(l.first) < maxListedPages && known {
		l.first = append(l.first, addr)
	}
}

// readPages fills b, which begins on a page, from the source. Where that fails it goes on page by
// page, and leaves zeros for the pages that can't be read; alive is called before each. Only the
// source's end is an error.
func (s *source) readPages(b []byte, offset int64, loss *pageLoss, alive func()) (int, error) {
	n, err := s.ReadAt(b, offset)
	if n == len(b) {
		return n, nil
	}
	if isEnd(err) {
		return n, io.ErrUnexpectedEOF
	}
	// A page that was read in part is read again.
	for n -= n % s.pageSize; n < len(b); {
		alive()
		page := b[n:min(n+s.pageSize, len(b))]
		m, err := s.ReadAt(page, offset+int64(n))
		if m < len(page) {
			if isEnd(err) {
				return n + m, io.ErrUnexpectedEOF
			}
			clear(page)
			addr, known := s.phys(offset + int64(n))
			loss.add(addr, known, err)
		}
		n += len(page)
	}
	return n, nil
}

// isEnd reports whether a short read means that the source has no more.
func isEnd(err error) bool {
	return err == nil || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
}
