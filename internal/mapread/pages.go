package mapread

import (
	"errors"
	"io"
)

// Pages reads r so that what is in front of a page that can't be read is returned with its error: a read of
// /proc/vmcore fails as a whole when one page does (kernel: fs/proc/vmcore.c, __read_vmcore). Pages
// begin at multiples of size, in bytes, in the file.
func Pages(r io.ReaderAt, size int) io.ReaderAt { return pages{r, int64(size)} }

type pages struct {
	r    io.ReaderAt
	size int64
}

func (p pages) ReadAt(b []byte, offset int64) (int, error) {
	n, err := p.r.ReadAt(b, offset)
	if n == len(b) || err == nil || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return n, err
	}
	for n < len(b) {
		at := offset + int64(n)
		part := b[n:min(int64(len(b)), int64(n)+p.size-at%p.size)]
		if len(part) == len(b) {
			return n, err // the one page has failed
		}
		m, err := p.r.ReadAt(part, at)
		if n += m; m < len(part) {
			return n, err
		}
	}
	return n, nil
}
