package capture

import (
	"context"
	"fmt"
)

// elfFormat is the ELF file as the kernel gives it. It needs nothing of it to be understood.
type elfFormat struct{}

func (elfFormat) write(ctx context.Context, w dump, s *source, advance func(step)) (saved, error) {
	var out saved
	buf := make([]byte, chunkSize)
	page := int64(s.pageSize)
	at := step{all: uint64((s.size + page - 1) / page)}
	at.kept = at.all
	out.memory, out.kept = at.all, at.all
	for offset := int64(0); offset < s.size; {
		if err := context.Cause(ctx); err != nil {
			return out, fmt.Errorf("%w: %w", errSource, err)
		}
		b := buf[:min(int64(len(buf)), s.size-offset)]
		n, readErr := s.readPages(b, offset, &out.loss, func() { advance(at) })
		if _, err := w.Write(b[:n]); err != nil {
			return out, err
		}
		offset += int64(n)
		at.pages = uint64((offset + page - 1) / page)
		at.saved = at.pages
		advance(at)
		if readErr != nil {
			return out, fmt.Errorf("%w: at offset %#x of %#x: %w", errSource, offset, s.size, readErr)
		}
	}
	return out, nil
}
