package capture

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/gokexec/gokexec/pkg/excerpt"
	"github.com/gokexec/gokexec/pkg/kdumpfile"
	"github.com/gokexec/gokexec/pkg/pagefilter"
)

// choice is what may be left out of a dump.
type choice struct {
	excerpt *excerpt.Excerpt   // nil: the memory can only be saved as it is
	survey  *pagefilter.Survey // nil: nothing is left out
	seconds float64
}

// chosen makes the choice at the first call, for all targets. That reads a part of the memory, so the
// log is on the disk before.
func (r *run) chosen(ctx context.Context, touch func()) *choice {
	r.choose.Do(func() {
		begin := time.Now()
		r.choice.survey = r.surveyed(ctx, touch)
		r.choice.seconds = seconds(begin)
	})
	return &r.choice
}

// surveyed reads what the memory consists of, and tells.
func (r *run) surveyed(ctx context.Context, touch func()) *pagefilter.Survey {
	if r.src.dump == nil {
		return nil
	}
	r.choice.excerpt = excerpt.New(r.src.dump, r.workers())
	kdumpfile.SpareProcessor()
	if !r.form.chooses() {
		return nil
	}
	bar := newProgress(r.out, "filter", r.opt.ReplaceLine, kdumpfile.PageSize(r.src.dump), time.Now())
	r.choice.excerpt.Levels(r.form.levels...)
	s, err := r.choice.excerpt.Survey(ctx, func(done, total uint64) {
		touch()
		bar.update(step{pages: done, all: total}, time.Now())
	})
	switch {
	case err != nil:
		return nil // cancelled
	case s == nil:
		r.say("%v; every page is kept", r.choice.excerpt.Whole())
		return nil
	}
	var parts []string
	for class, n := range s.Counts {
		if n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, pagefilter.Class(class)))
		}
	}
	r.say("%d pages: %s", s.Pages, strings.Join(parts, ", "))
	if s.Unreadable > 0 {
		r.say("%d pages are kept since what they are used for can't be read", s.Unreadable)
	}
	for _, refusal := range s.Refused {
		r.say("the class %s is kept: %s", refusal.Class, refusal.Reason)
	}
	return s
}

// whole says why nothing can be left out; nil if that is not so.
func (c *choice) whole() error {
	if c.excerpt == nil {
		return nil
	}
	return c.excerpt.Whole()
}

// describe fills in what is known of a dump of a level before it is written.
func (c *choice) describe(v *SavedVMCore, level pagefilter.Level) {
	v.Classes, v.Refused, v.UnknownPages = nil, nil, 0
	if c.survey == nil {
		return
	}
	v.Classes, v.UnknownPages = map[string]uint64{}, c.survey.Unreadable
	for class, n := range c.survey.Counts {
		if class != int(pagefilter.Zero) {
			v.Classes[className(pagefilter.Class(class))] = n
		}
	}
	for _, refusal := range c.survey.Refused {
		if level.Excludes(refusal.Class) {
			v.Refused = append(v.Refused, RefusedClass{className(refusal.Class), refusal.Reason})
		}
	}
}

// className is the name of a class in a result.
func className(c pagefilter.Class) string { return strings.ReplaceAll(c.String(), " ", "_") }
