package capture

import (
	"context"
	"time"
)

// attempt is what came of one target.
type attempt struct {
	result *Result
	err    error // nil: all of the memory is saved
	next   bool  // another target may do better
	sink   sink  // still open, and without its result; nil for none
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
		return attempt{res, err, true, nil}
	}
	w.touch()
	res.Location = s.location()
	if err := r.saveLog(s, res); err != nil {
		res.addError(err)
		r.say("%v; going on with the memory", err)
	}
	w.touch()
	w.report(res)
	r.saveReport(ctx, s, res, w.touch)
	w.report(res)
	next, err := r.saveMemory(ctx, s, res, w)
	res.addError(err)
	w.touch()

	r.gauge.describe(&res.Memory)
	res.Durations.TotalSeconds = seconds(r.start)
	if !r.hooks.none() {
		r.note(s, res)
		w.touch()
	}
	return attempt{res, err, next, s}
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
