package capture

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/gokexec/gokexec/internal/sysfs"
	"github.com/gokexec/gokexec/pkg/blkid"
)

// Errors of raw targets that hold something.
var (
	// ErrInUse means that a raw target holds something that is not to be lost.
	ErrInUse = errors.New("device is not blank")
	// ErrKept means that it holds a complete dump that is too young to be
	// overwritten.
	ErrKept = errors.New("an earlier dump is kept")
)

// inspectTimeout bounds the look at a whole device: some hundred places of a
// disk that may be busy.
const inspectTimeout = 60 * time.Second

// firstPlausible is before every dump, and after what a clock says that has lost
// its battery.
var firstPlausible = time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC)

// CheckRaw looks whether a raw target may destroy what a device holds, as the
// capture will do; it only reads. That a dump there is kept for some days is no
// error. The error wraps [ErrInUse] or [blkid.ErrMember].
func CheckRaw(ctx context.Context, sys Files, node string, overwrite bool) error {
	finder := &deviceFinder{sys: sys, touch: func() {}}
	_, err := within(ctx, inspectTimeout, "look at "+node, func() (struct{}, error) {
		return struct{}{}, finder.read(node, func(dev File, size int64) error {
			return rawPolicy{overwrite: overwrite}.check(dev, size, time.Now())
		})
	})
	if err != nil {
		return fmt.Errorf("%s: %w", node, sysfs.Rooted(err))
	}
	return nil
}

// check refuses to overwrite what a device holds, at the time of a crash.
func (p rawPolicy) check(r io.ReaderAt, size int64, now time.Time) error {
	c, err := blkid.Inspect(r, size)
	if err != nil {
		return fmt.Errorf("can't see what it holds: %w", err)
	}
	switch v := c.Verdict(); {
	case v.Kind == blkid.Member:
		return fmt.Errorf("it holds %s: %w", &c, blkid.ErrMember)
	case p.overwrite:
		return nil
	case len(c.Signatures) == 0 && v.Kind != blkid.Blank:
		return fmt.Errorf("%w: it holds %s; set overwrite to destroy that", ErrInUse, &c)
	case v.Kind == blkid.Dump && p.keep > 0:
		if err := keptDump(r, size, now, p.keep); err != nil {
			return err
		}
	}
	return mayOverwrite(c.Signatures)
}

// mayOverwrite refuses what is neither swap nor a dump.
func mayOverwrite(found []blkid.Signature) error {
	var names []string
	for _, f := range found {
		if f.Kind != blkid.Dump && f.Kind != blkid.Swap {
			names = append(names, f.String())
		}
	}
	if len(names) > 0 {
		return fmt.Errorf("%w: it holds %s; set overwrite to destroy that", ErrInUse, strings.Join(names, ", "))
	}
	return nil
}

// keptDump refuses to overwrite a complete dump that is younger than keep, by the times of
// the two crashes. Where these can't be compared, since a clock was wrong, it
// is kept as well.
func keptDump(r io.ReaderAt, size int64, now time.Time, keep time.Duration) error {
	d, err := FindInTar(r, size)
	if err != nil || d.Incomplete {
		return nil
	}
	age, why := now.Sub(d.Time), ""
	switch {
	case d.Time.Before(firstPlausible) || now.Before(firstPlausible):
		why = fmt.Sprintf("its age can't be told (it is of %s, now is %s)", d.Time.UTC().Format(time.RFC3339), now.UTC().Format(time.RFC3339))
	case age < 0:
		why = fmt.Sprintf("it is of %s, after this crash by the clock", d.Time.UTC().Format(time.RFC3339))
	case age < keep:
		why = fmt.Sprintf("it is %s old, and kept for %d days", age.Round(time.Minute), int(keep.Hours()/24))
	default:
		return nil
	}
	return fmt.Errorf("%w: the device holds a complete one, and %s (keep-dump); save it elsewhere, or set overwrite", ErrKept, why)
}
