package main

import (
	"fmt"
	"io"
	"os"
	"text/tabwriter"
	"time"

	"golang.org/x/sys/unix"

	"github.com/gokexec/gokexec/pkg/excerpt"
	"github.com/gokexec/gokexec/pkg/pagefilter"
)

// dumpProgress shows on a terminal how far a dump is, at most once a second.
type dumpProgress struct {
	w     io.Writer // nil: there is no terminal
	step  string
	begin time.Time // of the step
	last  time.Time
}

func newDumpProgress(e *env) *dumpProgress {
	p := &dumpProgress{}
	if f, ok := e.stderr.(*os.File); ok {
		if _, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS); err == nil {
			p.w = f
		}
	}
	return p
}

// show replaces the line.
func (p *dumpProgress) show(step string, done, total uint64) {
	if p.w == nil || total == 0 {
		return
	}
	now := time.Now()
	if p.step != step {
		p.step, p.begin, p.last = step, now, time.Time{}
	}
	if now.Sub(p.last) < time.Second {
		return
	}
	p.last = now
	left := ""
	if elapsed := now.Sub(p.begin); done > 0 && elapsed > time.Second {
		left = fmt.Sprintf(", %v left", time.Duration(float64(elapsed)/float64(done)*float64(total-min(done, total))).Round(time.Second))
	}
	fmt.Fprintf(p.w, "\r\x1b[K%s: %d of %d pages (%d %%)%s", step, done, total, done*100/total, left)
}

// end removes the line.
func (p *dumpProgress) end() {
	if p.w != nil && !p.last.IsZero() {
		fmt.Fprint(p.w, "\r\x1b[K")
		p.last = time.Time{}
	}
}

// dumpSummary is the report of a dump that was written.
type dumpSummary struct {
	Output     string            `json:"output"`
	Level      int               `json:"dump_level"`
	Bytes      int64             `json:"bytes"`
	PageSize   uint64            `json:"page_size"`
	Pages      uint64            `json:"pages"` // of the machine's memory
	Kept       uint64            `json:"kept"`
	Left       map[string]uint64 `json:"left_out"`
	Unreadable uint64            `json:"unreadable,omitempty"`
	Refused    map[string]string `json:"kept_although_in_level,omitempty"` // by class: why
	Whole      string            `json:"not_filtered,omitempty"`           // why
	Seconds    float64           `json:"seconds"`
}

func (w *dumpWriting) summary(source string, r excerpt.Report, took time.Duration) error {
	s := dumpSummary{Output: w.output, Level: int(w.form.Level), Bytes: r.Bytes, PageSize: w.excerpt.PageSize(), Pages: r.Pages, Kept: r.Kept - r.Zero, Left: map[string]uint64{}, Unreadable: r.Unreadable, Refused: map[string]string{}, Seconds: took.Seconds()}
	for c, n := range r.Left {
		if n > 0 {
			s.Left[pagefilter.Class(c).String()] = n
		}
	}
	for _, f := range r.Refused {
		s.Refused[f.Class.String()] = f.Reason
		fmt.Fprintf(w.stderr, "gokexec: warning: %s: pages of class %q are kept: %s\n", source, f.Class, oneLine(f.Reason))
	}
	if r.Whole != nil {
		s.Whole = r.Whole.Error()
		fmt.Fprintf(w.stderr, "gokexec: warning: %s: all memory but pages of zeroes is kept: %v\n", source, oneLine(s.Whole))
	}
	to := w.reportOn(w.output)
	if w.asJSON {
		return writeJSON(to, s)
	}
	fmt.Fprintf(to, "%s: %s of %s of memory, in %s\n", w.output, pagesText(s.Kept, s.PageSize), pagesText(s.Pages, s.PageSize), sizeText(float64(s.Bytes)))
	t := tabwriter.NewWriter(to, 0, 0, 3, ' ', 0)
	for c, n := range r.Left {
		if n > 0 {
			fmt.Fprintf(t, "  left out: %s\t%s\n", pagefilter.Class(c), pagesText(n, s.PageSize))
		}
	}
	return t.Flush()
}

// pagesText is the memory that so many pages take.
func pagesText(n, pageSize uint64) string { return sizeText(float64(n) * float64(pageSize)) }

// sizeText is a number of bytes with a unit, a power of 1024.
func sizeText(bytes float64) string {
	units := []string{"bytes", "KiB", "MiB", "GiB", "TiB", "PiB"}
	i := 0
	for bytes >= 1024 && i < len(units)-1 {
		bytes /= 1024
		i++
	}
	if i == 0 {
		return fmt.Sprintf("%.0f bytes", bytes)
	}
	return fmt.Sprintf("%.1f %s", bytes, units[i])
}
