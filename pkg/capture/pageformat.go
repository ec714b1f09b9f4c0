package capture

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"

	"github.com/gokexec/gokexec/internal/sysfs"
	"github.com/gokexec/gokexec/pkg/excerpt"
	"github.com/gokexec/gokexec/pkg/kdumpfile"
	"github.com/gokexec/gokexec/pkg/memmap"
	"github.com/gokexec/gokexec/pkg/pagefilter"
)

// Errors of what a dump can do without.
var (
	errFilter = errors.New("choose the pages")
	errFormat = errors.New("write the pages")
)

// pageFormat writes page by page, in the compressed format or as an ELF file with holes.
type pageFormat struct {
	form    form
	level   pagefilter.Level
	excerpt *excerpt.Excerpt
}

func (f pageFormat) write(ctx context.Context, d dump, _ *source, advance func(step)) (out saved, err error) {
	// The last one may be long ago when a page can't be read or a disk is slow.
	var mu sync.Mutex
	at := step{}
	alive := func(change func()) {
		mu.Lock()
		defer mu.Unlock()
		change()
		advance(at)
	}
	to := &guardedDump{dump: d, alive: func() { alive(func() {}) }}
	defer func() {
		if p := recover(); p != nil {
			err = panicError(f.form.text(f.level), p)
		}
		err = explain(ctx, err, to)
	}()
	opt := kdumpfile.WriteOptions{
		Advance: func(p kdumpfile.Progress) {
			alive(func() { at = step{pages: p.Pages, all: p.All, saved: p.Saved, kept: p.Kept} })
		},
		Unreadable: func(addr memmap.PhysAddr, err error) { alive(func() { out.loss.add(addr, true, err) }) },
	}
	form := excerpt.Form{Level: f.level, ELF: f.form.format == FormatELF, Codec: f.form.codec}
	var report excerpt.Report
	if disk, ok := d.(writableAt); ok {
		opt.Stale = disk.stale()
		report, err = f.excerpt.Write(ctx, to, form, opt)
	} else {
		report, err = f.excerpt.Stream(ctx, to, form, opt)
	}
	out.memory, out.kept, out.zero = report.Pages, report.Kept, report.Zero
	if err == nil {
		alive(func() { at = step{pages: out.memory, all: out.memory, saved: out.kept, kept: out.kept} })
	}
	return out, err
}

// explain finds out whose error it is.
func explain(ctx context.Context, err error, to *guardedDump) error {
	switch {
	case err == nil:
		return nil
	case to.failed() != nil:
		return to.failed()
	case ctx.Err() != nil:
		return fmt.Errorf("%w: %w", errSource, context.Cause(ctx))
	case errors.Is(err, excerpt.ErrFilter):
		return fmt.Errorf("%w: %w", errFilter, err)
	}
	return fmt.Errorf("%w: %w", errFormat, err)
}

// guardedDump keeps the first error of a dump, and has one write at a time.
type guardedDump struct {
	dump  dump
	alive func()
	mu    sync.Mutex
	err   error
}

func (g *guardedDump) Write(b []byte) (int, error) {
	return g.keep(func() (int, error) { return g.dump.Write(b) })
}

func (g *guardedDump) WriteAt(b []byte, offset int64) (int, error) {
	return g.keep(func() (int, error) { return g.dump.(writableAt).WriteAt(b, offset) })
}

func (g *guardedDump) keep(write func() (int, error)) (int, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	n, err := write()
	g.alive()
	if err != nil && g.err == nil {
		g.err = err
	}
	return n, err
}

func (g *guardedDump) failed() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.err
}

// workerMemory is more than what one goroutine takes that filters, reads and compresses, in bytes.
const workerMemory = 8 << 20

// workers is how many of them there is room for: one for each CPU, in half of the memory that is
// available.
func (r *run) workers() int {
	n := runtime.GOMAXPROCS(0)
	if available, err := sysfs.ReadKiB(r.sys.FS(), "proc/meminfo", "MemAvailable"); err == nil {
		n = int(max(min(int64(n), available/2/workerMemory), 1))
	}
	return n
}
