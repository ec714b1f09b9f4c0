package hotplug

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/gokexec/gokexec/pkg/statedir"
)

// process takes the steps in the file system.
type process struct {
	dir              statedir.Dir
	quiet, settleMax time.Duration
	loadWait         time.Duration
	report           func(loud bool, line string)
	loaded           func(context.Context) bool
	pending          *statedir.Pending
	sequence         func() uint64
	absentSince      time.Time // when nothing was found loaded; zero: not yet
}

func (p *process) mark() error { return p.dir.Mark() }

func (p *process) tryPending() (bool, error) {
	pending, err := p.dir.TryPending()
	if pending == nil {
		return false, err
	}
	p.pending = pending
	return true, nil
}

// cover may fail: then each event has a process of its own.
func (p *process) cover() { _ = p.pending.Cover() }

func (p *process) takeCover() error {
	if p.pending == nil {
		return nil
	}
	return p.pending.Take()
}

func (p *process) releasePending() {
	if p.pending != nil {
		_ = p.pending.Release() // closing the file releases it in any case
		p.pending = nil
	}
}

// burst differs from what it was if an event has arrived since. An event that has a process
// makes the mark grow; the kernel counts the others.
type burst struct {
	marks  int64
	kernel uint64
}

func (p *process) burst() burst {
	b := burst{marks: p.dir.MarkSize()}
	if p.sequence != nil {
		b.kernel = p.sequence()
	}
	return b
}

// settle waits until no event has arrived for a while.
func (p *process) settle(ctx context.Context) {
	began := time.Now()
	last, since := p.burst(), began
	ticker := time.NewTicker(max(p.quiet/8, time.Millisecond))
	defer ticker.Stop()
	for time.Since(since) < p.quiet && time.Since(began) < p.settleMax {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		if now := p.burst(); now != last {
			last, since = now, time.Now()
		}
	}
}

// awaitLoad waits until something is loaded.
func (p *process) awaitLoad(ctx context.Context) bool {
	if p.absentSince.IsZero() {
		p.absentSince = time.Now()
	}
	ticker := time.NewTicker(max(p.loadWait/200, time.Millisecond))
	defer ticker.Stop()
	for time.Since(p.absentSince) < p.loadWait {
		select {
		case <-ctx.Done():
			return false
		case <-ticker.C:
		}
		if p.loaded(ctx) {
			return true
		}
	}
	return false
}

// lockReload waits longer than a reload command may take, but not for ever.
func (p *process) lockReload(ctx context.Context) (*statedir.Lock, error) {
	lock, err := p.dir.LockReload(ctx, patience)
	if errors.Is(err, statedir.ErrLocked) {
		p.report(true, "waiting for a load that does not end: "+err.Error())
		lock, err = p.dir.LockReload(ctx, maxPatience-patience)
	}
	if errors.Is(err, statedir.ErrNoLock) {
		p.report(true, fmt.Sprintf("checking and loading without the lock: %v", err))
		return lock, nil
	}
	return lock, err
}

func (p *process) takeMark() error  { return p.dir.TakeMark() }
func (p *process) clearMark() error { return p.dir.ClearMark() }

func (p *process) begin(l *statedir.Lock) error      { return l.Begin() }
func (p *process) done(l *statedir.Lock) error       { return l.Done() }
func (p *process) interrupted(l *statedir.Lock) bool { return l.Interrupted() }
func (p *process) releaseReload(l *statedir.Lock)    { l.Release() }

func (p *process) wanted(l *statedir.Lock) (statedir.Wanted, bool) { return l.Wanted() }
func (p *process) want(l *statedir.Lock, w statedir.Wanted) error  { return l.Want(w) }

// problem saves the message for Dir.Problem. An error is ignored, since the message is
// also reported.
func (p *process) problem(text string) { _ = p.dir.SetProblem(text) }
