package capture

import (
	"context"
	"fmt"
	"io"
)

// elfFormat is the ELF file as the kernel gives it.
type elfFormat struct{}

func (elfFormat) size(s *source) int64 { return s.size }

func (elfFormat) write(ctx context.Context, w io.Writer, s *source, advance func(int64)) (pageLoss, error) {
	var loss pageLoss
	buf := make([]byte, chunkSize)
	for offset := int64(0); offset < s.size; {
		if err := context.Cause(ctx); err != nil {
			return loss, fmt.Errorf("%w: %w", errSource, err)
		}
		b := buf[:min(int64(len(buf)), s.size-offset)]
		n, readErr := s.readPages(b, offset, &loss, func() { advance(offset) })
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
