package capture

import (
	"context"
	"errors"
	"fmt"
)

// saveMemory writes the dump and fills in the outcome. It reports whether
// another target may do better, and why this one isn't whole.
func (r *run) saveMemory(ctx context.Context, s sink, res *Result, w watcher) (next bool, err error) {
	ch := r.chosen(ctx, w.touch)
	res.Durations.FilterSeconds = ch.seconds
	if why := ch.whole(); why != nil && r.form.filters() {
		res.addError(fmt.Errorf("%w: %w", errFilter, why))
	}
	r.noteUnfinished(s, res)
	d, err := s.create(r.src.most())
	if err != nil {
		return true, err
	}
	c := r.newCopying(d, res, w)
	out, err := r.writeMemory(ctx, d, c, ch)
	c.finish(out)
	next, err = c.settle(err)
	switch {
	case err != nil:
		return next, err
	case out.loss.pages > 0:
		return false, fmt.Errorf("%d pages can't be read and are zeros in the dump: %w", out.loss.pages, out.loss.err)
	case r.src.cut():
		return false, fmt.Errorf("%s is itself a part of a dump", r.opt.Source)
	}
	res.Outcome = Complete
	return false, nil
}

// writeMemory writes the dump as asked for. What it can do without, it does without: where there is no
// room for a dump of a level, the next level is tried; where the filter fails, nothing is left out; and where
// the format fails, the memory is saved as it is.
func (r *run) writeMemory(ctx context.Context, d dump, c *copying, ch *choice) (saved, error) {
	levels, plain := r.form.levels, ch.excerpt == nil
	for {
		level := levels[0]
		var form format = elfFormat{}
		if !plain && !r.form.plain(level) {
			form = pageFormat{r.form, level, ch.excerpt}
		}
		c.describe(form, ch)
		out, err := form.write(ctx, d, r.src, c.advance)
		why := ""
		switch {
		case err == nil:
			return out, nil
		case NoRoom(err) && len(levels) > 1:
			levels = levels[1:]
			why = fmt.Sprintf("there is no room for a dump of level %d; trying level %d", level, levels[0])
		case errors.Is(err, errFilter) && ch.whole() == nil:
			ch.excerpt.KeepAll(err)
			ch.survey = nil
			why = fmt.Sprintf("%v; every page is kept", err)
			c.res.addError(err)
		case errors.Is(err, errFormat):
			plain = true
			why = fmt.Sprintf("%v; saving the memory as it is", err)
			c.res.addError(err)
		default:
			return out, err
		}
		at, ok := d.(writableAt)
		if !ok {
			return out, err
		}
		if restartErr := at.restart(); restartErr != nil {
			return out, errors.Join(err, restartErr)
		}
		r.say("%s", why)
	}
}

// noteUnfinished leaves a result behind for the case that the capture kernel
// itself dies while it copies.
func (r *run) noteUnfinished(s sink, res *Result) {
	early := res.clone()
	early.addError(errors.New("the capture did not finish"))
	early.Durations.TotalSeconds = seconds(r.start)
	r.note(s, early)
}

// note leaves a result behind that is replaced later.
func (r *run) note(s sink, res *Result) {
	data, err := res.json()
	if err == nil {
		err = s.note(data)
	}
	if err != nil {
		r.say("%v", err)
	}
}
