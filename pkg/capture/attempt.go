package capture

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// attempt is what came of one target.
type attempt struct {
	result *Result
	err    error // nil: all of the memory is saved
	next   bool  // another target may do better
}

// watcher is told about an attempt: that it is alive, and what it has saved.
type watcher struct {
	touch  func()
	report func(*Result)
}

// attempt saves everything to target number index. It may be given up in the
// midst, so it changes nothing of r.
func (r *run) attempt(ctx context.Context, index int, before []error, w watcher) attempt {
	res := r.base.clone()
	res.Target = r.cfg.Targets[index].String()
	for _, err := range before {
		res.addError(err)
	}
	begin := time.Now()
	s, err := r.open(ctx, index, w.touch)
	res.Durations.TargetSeconds = seconds(begin)
	if err != nil {
		res.addError(err)
		return attempt{res, err, true}
	}
	w.touch()
	res.Location = s.location()
	if err := r.saveLog(s, res); err != nil {
		res.addError(err)
		r.say("%v; going on with the memory", err)
	}
	w.touch()
	w.report(res)
	next, err := r.saveMemory(ctx, s, res, w)
	res.addError(err)
	w.touch()

	r.gauge.describe(&res.Memory)
	res.Durations.TotalSeconds = seconds(r.start)
	data, jsonErr := res.json()
	if jsonErr == nil {
		jsonErr = putBytes(s, ResultName, data)
	}
	w.touch()
	// The dump is on disk: what fails from here on is only told.
	if err := errors.Join(jsonErr, s.close()); err != nil {
		res.addError(err)
		r.say("%v", err)
	}
	return attempt{res, err, next}
}

func (r *run) saveLog(s sink, res *Result) error {
	if r.log == nil {
		return nil
	}
	begin := time.Now()
	size, err := s.put(LogName, r.log.write)
	res.Durations.SaveLogSeconds = seconds(begin)
	if err != nil {
		return err
	}
	res.Outcome = LogOnly
	res.Log = SavedLog{File: LogName, SizeBytes: size, Records: r.log.records}
	r.say("kernel log saved: %d records, %d kB", r.log.records, size/1000)
	return nil
}

// saveMemory writes the dump and fills in the outcome. It reports whether
// another target may do better, and why this one isn't whole.
func (r *run) saveMemory(ctx context.Context, s sink, res *Result, w watcher) (next bool, err error) {
	r.noteUnfinished(s, res)
	var f format = newELFFormat()
	total := f.size(r.src)
	d, err := s.create(total)
	if err != nil {
		return true, err
	}
	begin := time.Now()
	bar := newProgress(r.opt.Console, r.opt.ReplaceLine, total, begin)
	done, sampled := int64(0), time.Time{}
	loss, err := f.write(ctx, d, r.src, func(n int64) {
		w.touch()
		done = n
		now := time.Now()
		bar.update(n, now)
		if n > 0 && now.Sub(sampled) >= time.Second {
			sampled = now
			r.gauge.sample()
			soFar := *res
			soFar.Outcome, soFar.VMCore.File, soFar.VMCore.SavedBytes = Incomplete, IncompleteName, n
			w.report(&soFar)
		}
	})
	bar.finish(done, time.Now())
	w.touch()
	v := &res.VMCore
	v.PageSizeBytes, v.IncompletePages = newELFFormat().pageSize, loss.pages
	for _, a := range loss.first {
		v.FirstIncompletePages = append(v.FirstIncompletePages, fmt.Sprintf("%#x", uint64(a)))
	}
	elapsed := time.Since(begin)
	res.Durations.MemorySeconds = seconds(begin)
	if elapsed > 0 {
		res.RateBytesPerSecond = int64(float64(done) / elapsed.Seconds())
	}

	begin = time.Now()
	defer func() { res.Durations.CommitSeconds = seconds(begin) }()
	if err != nil {
		next = !errors.Is(err, errSource)
		err = fmt.Errorf("after %d of %d bytes: %w", done, total, err)
		if abandonErr := d.abandon(err); abandonErr != nil {
			err = fmt.Errorf("%w; keeping what there is: %w", err, abandonErr)
		}
		if cut := done - d.size(); cut > 0 {
			err = fmt.Errorf("%w; cut back by %d bytes, so that room stays free", err, cut)
		}
	} else if err = d.commit(); err != nil {
		next = true
	} else {
		v.File = VMCoreName
	}
	if v.SavedBytes = d.size(); v.SavedBytes > 0 {
		res.Outcome = Incomplete
		if v.File == "" {
			v.File = IncompleteName
		}
	}
	switch {
	case err != nil:
		return next, err
	case loss.pages > 0:
		return false, fmt.Errorf("%d pages can't be read and are zeros in the dump: %w", loss.pages, loss.err)
	case r.src.cut():
		return false, fmt.Errorf("%s is itself a part of a dump", r.opt.Source)
	}
	res.Outcome = Complete
	return false, nil
}

// noteUnfinished leaves a result behind for the case that the capture kernel
// itself dies while it copies.
func (r *run) noteUnfinished(s sink, res *Result) {
	early := res.clone()
	early.addError(errors.New("the capture did not finish"))
	early.Durations.TotalSeconds = seconds(r.start)
	data, err := early.json()
	if err == nil {
		err = s.note(data)
	}
	if err != nil {
		r.say("%v", err)
	}
}
