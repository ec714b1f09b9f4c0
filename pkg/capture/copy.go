package capture

import (
	"errors"
	"fmt"
	"time"
)

// copying is the memory on its way into a dump.
type copying struct {
	run   *run
	dump  dump
	res   *Result
	watch watcher

	begin   time.Time
	bar     *progress
	done    int64 // bytes of the source
	sampled time.Time
}

// newCopying begins to measure.
func (r *run) newCopying(d dump, res *Result, w watcher) *copying {
	begin := time.Now()
	return &copying{run: r, dump: d, res: res, watch: w, begin: begin,
		bar: newProgress(r.out, r.opt.ReplaceLine, r.src.size, begin)}
}

// advance takes note of the bytes of the source that are done so far.
func (c *copying) advance(n int64) {
	c.watch.touch()
	c.done = n
	now := time.Now()
	c.bar.update(n, now)
	if n > 0 && now.Sub(c.sampled) >= time.Second {
		c.sampled = now
		c.run.gauge.sample()
		soFar := *c.res
		soFar.Outcome, soFar.VMCore.File, soFar.VMCore.SavedBytes = Incomplete, IncompleteName, c.dump.size()
		c.watch.report(&soFar)
	}
}

// finish accounts for the copy.
func (c *copying) finish(loss pageLoss) {
	c.bar.finish(c.done, time.Now())
	c.watch.touch()
	v := &c.res.VMCore
	v.PageSizeBytes, v.IncompletePages = c.run.src.pageSize, loss.pages
	for _, a := range loss.first {
		v.FirstIncompletePages = append(v.FirstIncompletePages, fmt.Sprintf("%#x", uint64(a)))
	}
	elapsed := time.Since(c.begin)
	c.res.Durations.MemorySeconds = seconds(c.begin)
	if elapsed > 0 {
		c.res.RateBytesPerSecond = int64(float64(c.done) / elapsed.Seconds())
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
	err := fmt.Errorf("after %d of %d bytes: %w", c.done, c.run.src.size, cause)
	written := c.dump.size()
	if abandonErr := c.dump.abandon(cause); abandonErr != nil {
		err = fmt.Errorf("%w; keeping what there is: %w", err, abandonErr)
	}
	if cut := written - c.dump.size(); cut > 0 {
		err = fmt.Errorf("%w; cut back by %d bytes, so that room stays free", err, cut)
	}
	return err
}
