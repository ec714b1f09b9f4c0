package capture

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/gokexec/gokexec/pkg/memmap"
)

// chunkSize is the unit of the copy, in bytes: large enough for /proc/vmcore,
// small beside the memory of a capture kernel.
const chunkSize = 1 << 20

// maxListedPages is how many unreadable pages are listed by address.
const maxListedPages = 16

// format turns the old memory into the bytes of a dump.
type format interface {
	// size is the most that the dump can take, in bytes.
	size(*source) int64
	// write writes the dump and says what it could not read. An error wraps
	// errSource if the source ended, else it is the sink's. advance is called
	// with the number of bytes of the dump done so far, and at least once for
	// every page of the source.
	write(ctx context.Context, w io.Writer, s *source, advance func(int64)) (pageLoss, error)
}

// errSource marks an error that another sink would meet as well.
var errSource = errors.New("read the memory")

// pageLoss is what could not be read.
type pageLoss struct {
	pages int64
	first []memmap.PhysAddr
	err   error // the first one's
}

// elfFormat is the ELF file as the kernel gives it.
type elfFormat struct {
	pageSize int // bytes; what the kernel gives up at once
}

func newELFFormat() elfFormat { return elfFormat{os.Getpagesize()} }

func (elfFormat) size(s *source) int64 { return s.size }

func (f elfFormat) write(ctx context.Context, w io.Writer, s *source, advance func(int64)) (pageLoss, error) {
	var loss pageLoss
	buf := make([]byte, chunkSize)
	for offset := int64(0); offset < s.size; {
		if err := context.Cause(ctx); err != nil {
			return loss, fmt.Errorf("%w: %w", errSource, err)
		}
		b := buf[:min(int64(len(buf)), s.size-offset)]
		n, readErr := f.read(b, offset, s, &loss, func() { advance(offset) })
		if _, err := w.Write(b[:n]); err != nil {
			return loss, err
		}
		offset += int64(n)
		advance(offset)
		if readErr != nil {
			return loss, fmt.Errorf("%w: at offset %#x of %#x: %w", errSource, offset, s.size, readErr)
		}
	}
	return loss, nil
}

// read fills b from the source. Where that fails it goes on page by page, and
// leaves zeros for the pages that can't be read. Only the source's end is an
// error.
func (f elfFormat) read(b []byte, offset int64, s *source, loss *pageLoss, alive func()) (int, error) {
	n, err := s.ReadAt(b, offset)
	if n == len(b) {
		return n, nil
	}
	if isEnd(err) {
		return n, io.ErrUnexpectedEOF
	}
	// A chunk begins on a page, and a page that was read in part is read again.
	for n -= n % f.pageSize; n < len(b); {
		alive()
		page := b[n:min(n+f.pageSize, len(b))]
		m, err := s.ReadAt(page, offset+int64(n))
		if m < len(page) {
			if isEnd(err) {
				return n + m, io.ErrUnexpectedEOF
			}
			clear(page)
			loss.add(s, offset+int64(n), err)
		}
		n += len(page)
	}
	return n, nil
}

// isEnd reports whether a short read means that the source has no more.
func isEnd(err error) bool {
	return err == nil || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
}

func (l *pageLoss) add(s *source, offset int64, err error) {
	if l.pages++; l.pages == 1 {
		l.err = err
	}
	if len(l.first) < maxListedPages {
		if addr, ok := s.phys(offset); ok {
			l.first = append(l.first, addr)
		}
	}
}
