package excerpt

import (
	"context"
	"errors"
	"io"
	"slices"

	"github.com/gokexec/gokexec/pkg/kdumpfile"
	"github.com/gokexec/gokexec/pkg/pagefilter"
	"github.com/gokexec/gokexec/pkg/vmcore"
)

// Form is how a dump is written.
type Form struct {
	Level pagefilter.Level // which pages are left out
	ELF   bool             // an ELF core, which knows no compression; else makedumpfile's compressed format
	Codec kdumpfile.Codec
}

// Excerpt is a dump of which a part is written. Its methods may be called one after the other.
type Excerpt struct {
	dump    kdumpfile.Dump
	workers int
	filter  *pagefilter.Filter
	survey  *pagefilter.Survey
	whole   error
	live    bool
	levels  []pagefilter.Level // nil: any
}

// New prepares to write a part of d by the given number of goroutines, 0 for as many as there are CPUs.
// It reads what tells pages apart; if that can't be read, see Whole.
func New(d kdumpfile.Dump, workers int) *Excerpt {
	e := &Excerpt{dump: d, workers: workers}
	if slices.ContainsFunc(d.Notes(), func(n vmcore.Note) bool { return n.Name == "VMCOREINFO_XEN" }) {
		e.whole = errXen
		return e
	}
	e.filter, e.whole = pagefilter.New(d, pagefilter.Options{})
	return e
}

// errXen is for a machine whose memory belongs to a hypervisor: its control domain's page numbers are not
// those of the dump (drivers/xen, phys_to_machine).
var errXen = errors.New("a dump of Xen's hypervisor: its domains' pages are not told apart")

// Live is for a source that goes on running: whether a page is kept is then decided once, which takes a bit of
// memory for each page.
func (e *Excerpt) Live() { e.live = true }

// Levels tells before the first Survey which levels will be written. The blocks of pages that all of them leave out are
// then hardly looked at.
func (e *Excerpt) Levels(levels ...pagefilter.Level) { e.levels = levels }

// PageSize is that of the machine, in bytes.
func (e *Excerpt) PageSize() uint64 { return kdumpfile.PageSize(e.dump) }

// Whole says why the pages can't be told apart, so that all but pages of zeroes are kept. It is nil if
// they can.
func (e *Excerpt) Whole() error { return e.whole }

// Survey finds the kind of every page, and checks the result. It needs to be called only to show the
// progress, in page frames, or to know the Survey before something is written. The error is that of ctx;
// other errors become that of Whole, and the survey is nil.
func (e *Excerpt) Survey(ctx context.Context, advance func(done, total uint64)) (*pagefilter.Survey, error) {
	if e.whole != nil || e.survey != nil {
		return e.survey, nil
	}
	opt := pagefilter.SurveyOptions{Workers: e.workers, Levels: e.levels}
	if advance != nil {
		opt.Advance = func(p pagefilter.Progress) { advance(p.Done, p.Total) }
	}
	var s *pagefilter.Survey
	err := guard(func() (err error) {
		s, err = e.filter.Survey(ctx, opt)
		return err
	})
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	e.survey, e.whole = s, err
	return s, nil
}

// Report is what came of a writing.
type Report struct {
	kdumpfile.Written
	// Left are the pages that were left out, by class; of Zero, those that take no room.
	Left [pagefilter.NumClasses]uint64
	// Refused are the classes that were kept although the level leaves them out.
	Refused []pagefilter.Refusal
	// Whole says why all but pages of zeroes were kept; nil if that is not so, or was asked for.
	Whole error
}

// Write writes the dump to w. Of opt it sets what follows from the form. When it can't go on, the
// error says why, and what is at w can be read and says that it is incomplete.
func (e *Excerpt) Write(ctx context.Context, w io.WriterAt, f Form, opt kdumpfile.WriteOptions) (Report, error) {
	if err := e.options(ctx, f, &opt); err != nil {
		return Report{}, err
	}
	write := kdumpfile.WriteCompressed
	if f.ELF {
		write = kdumpfile.WriteELF
	}
	written, err := write(ctx, w, e.dump, opt)
	return e.report(f.Level, written), err
}

// WriteSplit is Write into several files, as makedumpfile --split does: parts of a compressed dump with about
// as many pages each.
func (e *Excerpt) WriteSplit(ctx context.Context, files []io.WriterAt, f Form, opt kdumpfile.WriteOptions) (Report, error) {
	if f.ELF {
		return Report{}, errors.New("an ELF core can't be split")
	}
	if err := e.options(ctx, f, &opt); err != nil {
		return Report{}, err
	}
	parts, err := kdumpfile.WriteSplit(ctx, files, e.dump, opt)
	var all kdumpfile.Written
	for _, p := range parts {
		all.Pages = max(all.Pages, p.Pages)
		all.Kept += p.Kept
		all.Saved += p.Saved
		all.Zero += p.Zero
		all.Unreadable += p.Unreadable
		all.Bytes += p.Bytes
		all.Incomplete = all.Incomplete || p.Incomplete
	}
	return e.report(f.Level, all), err
}

// Stream is Write for a pipe or a connection: it writes the flattened form.
func (e *Excerpt) Stream(ctx context.Context, w io.Writer, f Form, opt kdumpfile.WriteOptions) (Report, error) {
	flat, err := kdumpfile.NewFlattener(w)
	if err != nil {
		return Report{}, err
	}
	r, err := e.Write(ctx, flat, f, opt)
	if cerr := flat.Close(); err == nil {
		err = cerr
	}
	return r, err
}

// options sets what follows from the form.
func (e *Excerpt) options(ctx context.Context, f Form, opt *kdumpfile.WriteOptions) error {
	opt.Codec = f.Codec
	if opt.Workers == 0 {
		opt.Workers = e.workers
	}
	if e.levels == nil {
		e.levels = []pagefilter.Level{f.Level}
	}
	if _, err := e.Survey(ctx, nil); err != nil {
		return err
	}
	if e.whole == nil {
		opt.Filter = e.filter.Selection(f.Level, e.survey)
		if e.live {
			opt.Filter = &decided{filter: opt.Filter, windows: map[uint64][]uint64{}}
		}
		opt.Filter = guarded{opt.Filter}
	}
	opt.DumpLevel = int(e.effective(f.Level))
	if c, ok := e.dump.(*kdumpfile.Compressed); ok {
		opt.DumpLevel |= c.Header.DumpLevel // what the source lacks already
	}
	opt.OmitZero = pagefilter.Level(opt.DumpLevel).Excludes(pagefilter.Zero)
	return nil
}

// effective is the level without what is not left out.
func (e *Excerpt) effective(level pagefilter.Level) pagefilter.Level {
	const zero = 1
	if e.whole != nil {
		return level & zero
	}
	if e.survey == nil {
		return level
	}
	for _, r := range e.survey.Refused {
		for bit := pagefilter.Level(zero << 1); bit <= pagefilter.MaxLevel; bit <<= 1 {
			if bit.Excludes(r.Class) && r.Class <= pagefilter.Free {
				level &^= bit
			}
		}
	}
	return level
}

// report counts what the level left out.
func (e *Excerpt) report(level pagefilter.Level, w kdumpfile.Written) Report {
	r := Report{Written: w}
	r.Left[pagefilter.Zero] = w.Zero
	if e.whole != nil {
		if level != 0 {
			r.Whole = e.whole
		}
		return r
	}
	for _, f := range e.survey.Refused {
		if level.Excludes(f.Class) {
			r.Refused = append(r.Refused, f)
		}
	}
	for c := pagefilter.Cache; int(c) < pagefilter.NumClasses; c++ {
		if e.survey.LeavesOut(level, c) {
			r.Left[c] = e.survey.Counts[c]
		}
	}
	return r
}
