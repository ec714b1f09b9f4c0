// Package printed keeps what programs print, within bounds.
package printed

import (
	"slices"
	"sync"
)

// Buffer keeps the first bytes that are written to it. It may be read while a program that hangs goes on writing.
type Buffer struct {
	// Limit is how many bytes are kept.
	Limit int

	mu   sync.Mutex
	data []byte
	over bool
}

// Write takes everything, and keeps what there is room for.
func (b *Buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	room := b.Limit - len(b.data)
	b.over = b.over || len(p) > room
	b.data = append(b.data, p[:min(len(p), room)]...)
	return len(p), nil
}

// Contents are what is kept, and whether it is all that was written.
func (b *Buffer) Contents() (data []byte, whole bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clip(b.data), !b.over
}

// Bytes are what is kept.
func (b *Buffer) Bytes() []byte {
	data, _ := b.Contents()
	return data
}

// String is what is kept.
func (b *Buffer) String() string { return string(b.Bytes()) }

// Reset empties the buffer.
func (b *Buffer) Reset() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.data, b.over = nil, false
}
