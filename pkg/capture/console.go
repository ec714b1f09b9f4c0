package capture

import (
	"io"
	"time"
)

// consoleBacklog is how many writes wait for a slow console before more are lost.
const consoleBacklog = 256

// console writes in the background, so that a console that doesn't take
// anything (a serial line under flow control) can't stop a dump.
type console struct {
	queue chan consoleItem
	quit  chan struct{}
}

type consoleItem struct {
	text    []byte
	flushed chan<- struct{} // for flush
}

func newConsole(w io.Writer) *console {
	c := &console{queue: make(chan consoleItem, consoleBacklog), quit: make(chan struct{})}
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
				// There is nowhere to tell of an error here.
				_, _ = w.Write(item.text)
			}
		}
	}()
	return c
}

// close flushes, at most for d, and drops what is written from then on.
func (c *console) close(d time.Duration) {
	c.flush(d)
	close(c.quit)
}

// Write never blocks. What finds the queue full is lost.
func (c *console) Write(p []byte) (int, error) {
	select {
	case c.queue <- consoleItem{text: append([]byte(nil), p...)}:
	default:
	}
	return len(p), nil
}

// flush waits until everything is written, at most for d.
func (c *console) flush(d time.Duration) {
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
