package capture

import (
	"io"
	"time"
)

// consoleBacklog is how many writes wait for a slow console before more are lost.
const consoleBacklog = 256

// Console writes in the background, so that what doesn't take anything (a serial line
// under flow control, a pipe that nobody reads) can't stop a dump. It may be used by
// several goroutines.
type Console struct {
	queue chan consoleItem
	quit  chan struct{}
}

type consoleItem struct {
	text    []byte
	flushed chan<- struct{} // for Flush
}

// NewConsole starts one that writes to w. Errors of w are dropped: there is nowhere to
// tell of them.
func NewConsole(w io.Writer) *Console {
	c := &Console{queue: make(chan consoleItem, consoleBacklog), quit: make(chan struct{})}
	go func() {
		for {
			select {
			case <-c.quit:
				return
			case item := <-c.queue:
				if item.flushed != nil {
					close(item.flushed)
					continue
				}
				_, _ = w.Write(item.text)
			}
		}
	}()
	return c
}

// Close flushes, at most for d, and drops what is written from then on.
func (c *Console) Close(d time.Duration) {
	c.Flush(d)
	close(c.quit)
}

// Write never blocks. What finds the queue full is lost.
func (c *Console) Write(p []byte) (int, error) {
	select {
	case c.queue <- consoleItem{text: append([]byte(nil), p...)}:
	default:
	}
	return len(p), nil
}

// Flush waits until everything is written, at most for d.
func (c *Console) Flush(d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	flushed := make(chan struct{})
	select {
	case c.queue <- consoleItem{flushed: flushed}:
	case <-timer.C:
		return
	}
	select {
	case <-flushed:
	case <-timer.C:
	}
}
