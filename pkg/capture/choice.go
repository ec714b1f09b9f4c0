package capture

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/gokexec/gokexec/pkg/kdumpfile"
	"github.com/gokexec/gokexec/pkg/pagefilter"
)

// choice is what may be left out of a dump. It is made once for all targets.
type choice struct {
	of      func(pagefilter.Level) kdumpfile.Filter // nil: every page is kept
	survey  *pagefilter.Survey
	err     error // why nothing can be left out, although that is asked for
	seconds float64
}

// chosen makes the choice at the first call. That reads a part of the memory, so the log is
// on the disk before.
func (r *run) chosen(ctx context.Context, touch func()) *choice {
	r.choose.Do(func() {
		begin := time.Now()
		f, s, err := r.surveyed(ctx, touch)
		r.choice = choice{survey: s, err: err, seconds: seconds(begin)}
		if f != nil {
			r.choice.of = func(l pagefilter.Level) kdumpfile.Filter { return f.Selection(l, s) }
		}
		r.sayChoice(&r.choice)
	})
	return &r.choice
}

// surveyed reads what the memory consists of. All nil: nothing is to be left out.
func (r *run) surveyed(ctx context.Context, touch func()) (f *pagefilter.Filter, s *pagefilter.Survey, err error) {
	if !r.form.filters() || r.src.core == nil {
		return nil, nil, nil
	}
	defer func() {
		if p := recover(); p != nil {
			err = panicError("filter", p)
		}
		if err != nil {
			f, s, err = nil, nil, fmt.Errorf("%w: %w", errFilter, err)
		}
	}()
	if f, err = pagefilter.New(r.src.dump, pagefilter.Options{}); err != nil {
		return nil, nil, err
	}
	bar := newProgress(r.out, "filter", r.opt.ReplaceLine, kdumpfile.PageSize(r.src.dump), time.Now())
	s, err = f.Survey(ctx, pagefilter.SurveyOptions{Workers: r.workers(), Advance: func(p pagefilter.Progress) {
		touch()
		bar.update(step{pages: p.Done, all: p.Total}, time.Now())
	}})
	return f, s, err
}

func (r *run) sayChoice(c *choice) {
	switch {
	case c.err != nil:
		r.say("%v; every page is kept", c.err)
	case c.survey != nil:
		var parts []string
		for class, n := range c.survey.Counts {
			if n > 0 {
				parts = append(parts, fmt.Sprintf("%d %s", n, pagefilter.Class(class)))
			}
		}
		r.say("%d pages: %s", c.survey.Pages, strings.Join(parts, ", "))
		for _, refusal := range c.survey.Refused {
			r.say("the class %s is kept: %s", refusal.Class, refusal.Reason)
		}
	}
}

// selection leaves out what a level says.
func (c *choice) selection(level pagefilter.Level) kdumpfile.Filter {
	if c.of == nil || level == 0 {
		return nil
	}
	return c.of(level)
}

// describe fills in what is known of the dump before it is written.
func (c *choice) describe(v *SavedVMCore) {
	v.Classes, v.Refused = nil, nil
	if c.survey == nil {
		return
	}
	v.Classes = map[string]uint64{}
	for class, n := range c.survey.Counts {
		if class != int(pagefilter.Zero) {
			v.Classes[className(pagefilter.Class(class))] = n
		}
	}
	for _, refusal := range c.survey.Refused {
		v.Refused = append(v.Refused, RefusedClass{className(refusal.Class), refusal.Reason})
	}
}

// className is the name of a class in a result.
func className(c pagefilter.Class) string { return strings.ReplaceAll(c.String(), " ", "_") }
