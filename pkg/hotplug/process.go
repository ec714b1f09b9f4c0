package hotplug

import (
	"context"
	"errors"
	"fmt"
	"os"
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
	pending          *os.File
	absentSince      time.Time // when nothing was found loaded; zero: not yet
}

func (p *process) mark() error { return p.dir.Mark() }

func (p *process) tryPending() (bool, error) {
	f, err := p.dir.TryPending()
	if f == nil {
		return false, err
	}
	p.pending = f
	return true, nil
}

func (p *process) releasePending() {
	if p.pending != nil {
		p.pending.Close() // which releases the lock: it is the only descriptor
		p.pending = nil
	}
}

// settle waits until no event has arrived for a while. Each event makes the mark grow.
func (p *process) settle(ctx context.Context) {
	began := time.Now()
	last, since := p.dir.MarkSize(), began
	ticker := time.NewTicker(max(p.quiet/8, time.Millisecond))
	defer ticker.Stop()
	for time.Since(since) < p.quiet && time.Since(began) < p.settleMax {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		if size := p.dir.MarkSize(); size != last {
			last, since = size, time.Now()
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
