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

// progress shows how far a copy is.
type progress struct {
	w       io.Writer
	replace bool
	total   int64
	start   time.Time
	shown   time.Time
	width   int // of the line shown last
}

func newProgress(w io.Writer, replace bool, total int64, now time.Time) *progress {
	return &progress{w: w, replace: replace, total: total, start: now, shown: now}
}

// update shows the state if it is time to.
func (p *progress) update(done int64, now time.Time) {
	every := lineEvery
	if p.replace {
		every = replaceEvery
	}
	if now.Sub(p.shown) < every {
		return
	}
	p.shown = now
	p.show(progressLine(done, p.total, now.Sub(p.start)))
}

// finish shows the last state and ends the line.
func (p *progress) finish(done int64, now time.Time) {
	p.show(progressLine(done, p.total, now.Sub(p.start)))
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

// progressLine is like "vmcore  45%  382 of 850 MB  71 MB/s  ETA 7s"; MB are
// 10^6 bytes.
func progressLine(done, total int64, elapsed time.Duration) string {
	percent := int64(100)
	if total > 0 {
		percent = int64(float64(done) / float64(total) * 100)
	}
	line := fmt.Sprintf("%s %3d%%  %d of %d MB", VMCoreName, percent, done/1e6, total/1e6)
	seconds := elapsed.Seconds()
	if seconds <= 0 || done <= 0 {
		return line
	}
	rate := float64(done) / seconds
	line += fmt.Sprintf("  %.0f MB/s", rate/1e6)
	if done < total {
		eta := time.Duration(float64(total-done) / rate * float64(time.Second))
		line += fmt.Sprintf("  ETA %v", eta.Round(time.Second))
	} else {
		line += fmt.Sprintf("  in %v", elapsed.Round(time.Second/10))
	}
	return line
}
