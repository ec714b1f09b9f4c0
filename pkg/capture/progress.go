package capture

import (
	"fmt"
	"io"
	"time"
)

// How often progress is shown: on one line that is replaced, and in lines that
// follow each other, as on a serial console.
const (
	replaceEvery = time.Second
	lineEvery    = 5 * time.Second
)

// progress shows how far something is that goes through the memory.
type progress struct {
	w       io.Writer
	what    string
	replace bool
	page    uint64 // bytes
	start   time.Time
	shown   time.Time
	width   int // of the line shown last
}

func newProgress(w io.Writer, what string, replace bool, page uint64, now time.Time) *progress {
	return &progress{w: w, what: what, replace: replace, page: page, start: now, shown: now}
}

// update shows the state if it is time to.
func (p *progress) update(at step, now time.Time) {
	every := lineEvery
	if p.replace {
		every = replaceEvery
	}
	if now.Sub(p.shown) < every {
		return
	}
	p.shown = now
	p.show(p.line(at, now))
}

// finish shows the last state and ends the line.
func (p *progress) finish(at step, now time.Time) {
	p.show(p.line(at, now))
	if p.replace {
		fmt.Fprintln(p.w)
	}
}

func (p *progress) show(line string) {
	if p.replace {
		fmt.Fprintf(p.w, "\r%-*s", p.width, line)
		p.width = len(line)
		return
	}
	fmt.Fprintln(p.w, line)
}

// line is like "vmcore  45%  18200 of 41418 pages, kept of 131072  71 MB/s  ETA 7s"; MB are
// 10^6 bytes of memory.
func (p *progress) line(at step, now time.Time) string {
	done, total := at.pages, at.all
	if at.kept > 0 || at.saved > 0 {
		done, total = at.saved, at.kept
	}
	percent := uint64(100)
	if total > 0 {
		percent = uint64(float64(done) / float64(total) * 100)
	}
	line := fmt.Sprintf("%s %3d%%  %d of %d pages", p.what, percent, done, total)
	if total != at.all {
		line += fmt.Sprintf(", kept of %d", at.all)
	}
	elapsed := now.Sub(p.start)
	seconds := elapsed.Seconds()
	if seconds <= 0 || done == 0 {
		return line
	}
	rate := float64(done) / seconds
	line += fmt.Sprintf("  %.0f MB/s", rate*float64(p.page)/1e6)
	if done < total {
		eta := time.Duration(float64(total-done) / rate * float64(time.Second))
		line += fmt.Sprintf("  ETA %v", eta.Round(time.Second))
	} else {
		line += fmt.Sprintf("  in %v", elapsed.Round(time.Second/10))
	}
	return line
}
