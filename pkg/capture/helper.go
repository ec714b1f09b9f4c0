package capture

import (
	"io"
	"time"
)

// Helper is a program of gokexec's own that works for a target while the capture goes on.
type Helper struct {
	// In is its standard input, and Out its standard output.
	In  io.WriteCloser
	Out io.ReadCloser
	// Kill ends it and what it has started.
	Kill  func()
	ended chan struct{}
}

// Ended tells whether it has ended.
func (h *Helper) Ended() bool {
	select {
	case <-h.ended:
		return true
	default:
		return false
	}
}

// Wait waits for its end, and tells whether it has come.
func (h *Helper) Wait(d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-h.ended:
		return true
	case <-timer.C:
		return false
	}
}
