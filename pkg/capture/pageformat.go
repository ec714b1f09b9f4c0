package capture

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"sync"

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
	filter  kdumpfile.Filter // nil: every page
	workers int
}

func (f pageFormat) write(ctx context.Context, w dump, s *source, advance func(step)) (out saved, err error) {
	// Filters are called concurrently, and so may be what else says that it goes on.
	var mu sync.Mutex
	at := step{}
	alive := func(change func()) {
		mu.Lock()
		defer mu.Unlock()
		change()
		advance(at)
	}
	filter := &guardedFilter{filter: f.filter, alive: func() { alive(func() {}) }}
	to := &guardedDump{dump: w, alive: filter.alive}
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%w: %w", errFormat, panicError(f.form.text(f.level), p))
		}
		err = f.explain(ctx, err, filter, to)
	}()
	opt := kdumpfile.WriteOptions{
		Codec: f.form.codec, OmitZero: f.level.Excludes(pagefilter.Zero), DumpLevel: int(f.level), Workers: f.workers,
	}
	if f.filter != nil {
		opt.Filter = filter
	}
	opt.Advance = func(p kdumpfile.Progress) {
		alive(func() { at = step{pages: p.Pages, all: p.All, saved: p.Saved, kept: p.Kept} })
	}
	opt.Unreadable = func(addr memmap.PhysAddr, err error) {
		alive(func() { out.loss.add(addr, true, err) })
	}
	flat, err := f.sink(to, &opt)
	if err != nil {
		return out, err
	}
	write := kdumpfile.WriteCompressed
	if f.form.format == FormatELF {
		write = kdumpfile.WriteELF
	}
	written, err := write(ctx, flat, s.dump, opt)
	if c, stream := flat.(*kdumpfile.Flattener); stream {
		err = errors.Join(err, c.Close())
	}
	out.memory, out.kept, out.zero = written.Pages, written.Kept, written.Zero
	if err == nil {
		alive(func() { at = step{pages: out.memory, all: out.memory, saved: out.kept, kept: out.kept} })
	}
	return out, err
}

// sink is what the writer writes to: the dump, or, where that can only be streamed, a flattened stream.
func (f pageFormat) sink(to *guardedDump, opt *kdumpfile.WriteOptions) (io.WriterAt, error) {
	if at, ok := to.dump.(writableAt); ok {
		opt.Stale = at.stale()
		return to, nil
	}
	return kdumpfile.NewFlattener(to)
}

// explain finds out whose error it is.
func (f pageFormat) explain(ctx context.Context, err error, filter *guardedFilter, to *guardedDump) error {
	switch {
	case err == nil:
		return nil
	case to.failed() != nil:
		return to.failed()
	case ctx.Err() != nil:
		return fmt.Errorf("%w: %w", errSource, context.Cause(ctx))
	case filter.failed() != nil:
		return fmt.Errorf("%w: %w", errFilter, filter.failed())
	case errors.Is(err, errFormat):
		return err
	}
	return fmt.Errorf("%w: %w", errFormat, err)
}

// guardedFilter keeps the error of a filter, and turns a panic into one.
type guardedFilter struct {
	filter kdumpfile.Filter
	alive  func()
	mu     sync.Mutex
	err    error
}

func (g *guardedFilter) Filter(ctx context.Context, first uint64, keep []uint64) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = panicError("filter", p)
		}
		if err != nil {
			g.mu.Lock()
			g.err = err
			g.mu.Unlock()
		}
	}()
	g.alive()
	return g.filter.Filter(ctx, first, keep)
}

func (g *guardedFilter) failed() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.err
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
	if available, err := kibField(r.sys.FS(), "proc/meminfo", "MemAvailable"); err == nil {
		n = int(max(min(int64(n), available/2/workerMemory), 1))
	}
	return n
}
