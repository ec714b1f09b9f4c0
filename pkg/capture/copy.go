package capture

import (
	"errors"
	"fmt"
	"time"

	"github.com/gokexec/gokexec/pkg/kdumpfile"
	"github.com/gokexec/gokexec/pkg/pagefilter"
)

// copying is the memory on its way into a dump.
type copying struct {
	run   *run
	dump  dump
	res   *Result
	watch watcher

	begin   time.Time
	bar     *progress
	page    uint64 // bytes
	at      step
	sampled time.Time
}

// newCopying begins to measure.
func (r *run) newCopying(d dump, res *Result, w watcher) *copying {
	return &copying{run: r, dump: d, res: res, watch: w, begin: time.Now()}
}

// describe begins a dump of a form: the first, or another when that could not be written.
func (c *copying) describe(f format, ch *choice) {
	v := &c.res.VMCore
	v.Format, v.Compression, v.DumpLevel, c.page = FormatELF, "", 0, uint64(c.run.src.pageSize)
	if p, ok := f.(pageFormat); ok {
		v.Format, v.DumpLevel, c.page = p.form.format, int(p.level), kdumpfile.PageSize(c.run.src.dump)
		if v.Format == FormatKdump {
			v.Compression = p.form.codec.String()
		}
	}
	v.PageSizeBytes = int(c.page)
	ch.describe(v, pagefilter.Level(v.DumpLevel))
	c.at = step{}
	c.bar = newProgress(c.run.out, VMCoreName, c.run.opt.ReplaceLine, c.page, time.Now())
}

// advance takes note of how far the dump is.
func (c *copying) advance(at step) {
	c.watch.touch()
	c.at = at
	now := time.Now()
	c.bar.update(at, now)
	if at.saved > 0 && now.Sub(c.sampled) >= time.Second {
		c.sampled = now
		c.run.gauge.sample()
		soFar := *c.res
		soFar.Outcome, soFar.VMCore.File, soFar.VMCore.SavedBytes = Incomplete, IncompleteName, c.dump.size()
		c.watch.report(&soFar)
	}
}

// finish accounts for the copy.
func (c *copying) finish(out saved) {
	c.bar.finish(c.at, time.Now())
	c.watch.touch()
	v := &c.res.VMCore
	v.MemoryPages, v.KeptPages, v.ZeroPages, v.IncompletePages = out.memory, out.kept, out.zero, out.loss.pages
	for _, a := range out.loss.first {
		v.FirstIncompletePages = append(v.FirstIncompletePages, fmt.Sprintf("%#x", uint64(a)))
	}
	elapsed := time.Since(c.begin)
	c.res.Durations.MemorySeconds = seconds(c.begin)
	if elapsed > 0 {
		c.res.RateBytesPerSecond = int64(float64(c.at.saved*c.page) / elapsed.Seconds())
	}
}

// settle gives a dump that is whole its name, and keeps what there is of one that broke off
// with copyErr. It reports whether another target may do better.
func (c *copying) settle(copyErr error) (next bool, err error) {
	begin := time.Now()
	defer func() { c.res.Durations.CommitSeconds = seconds(begin) }()
	v := &c.res.VMCore
	if copyErr != nil {
		next, err = !errors.Is(copyErr, errSource), c.abandon(copyErr)
	} else if err = c.dump.commit(); err != nil {
		next = true
	} else {
		v.File = VMCoreName
	}
	if v.SavedBytes = c.dump.size(); v.SavedBytes > 0 {
		c.res.Outcome = Incomplete
		if v.File == "" {
			v.File = IncompleteName
		}
	}
	return next, err
}

// abandon keeps what there is, and tells all of what went wrong.
func (c *copying) abandon(cause error) error {
	err := fmt.Errorf("after %d of %d pages: %w", c.at.saved, c.at.kept, cause)
	written := c.dump.size()
	if abandonErr := c.dump.abandon(cause); abandonErr != nil {
		err = fmt.Errorf("%w; keeping what there is: %w", err, abandonErr)
	}
	if cut := written - c.dump.size(); cut > 0 {
		err = fmt.Errorf("%w; cut back by %d bytes, so that room stays free", err, cut)
	}
	return err
}
