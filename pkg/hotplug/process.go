package hotplug

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"time"
)

// process does the steps in the file system.
type process struct {
	dir              Dir
	quiet, settleMax time.Duration
	absentMax        time.Duration
	report           func(loud bool, line string)
	loaded           func(context.Context) bool
	pending          *os.File
	absentSince      time.Time // zero: not seen yet
}

func (p *process) mark() error { return p.dir.Mark() }

func (p *process) tryPending() (bool, error) {
	f, err := p.dir.openLock(pendingName)
	if err != nil {
		return false, err
	}
	held, err := tryFlock(f)
	if !held {
		return false, errors.Join(err, f.Close())
	}
	p.pending = f
	return true, nil
}

func (p *process) releasePending() {
	if p.pending != nil {
		p.pending.Close() // the lock goes with the only handle
		p.pending = nil
	}
}

// settle waits until no event has come for a while. Each one makes the mark grow.
func (p *process) settle(ctx context.Context) {
	began := time.Now()
	last, since := p.markSize(), began
	ticker := time.NewTicker(max(p.quiet/8, time.Millisecond))
	defer ticker.Stop()
	for time.Since(since) < p.quiet && time.Since(began) < p.settleMax {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		if size := p.markSize(); size != last {
			last, since = size, time.Now()
		}
	}
}

// awaitLoad waits until something is loaded.
func (p *process) awaitLoad(ctx context.Context) bool {
	if p.absentSince.IsZero() {
		p.absentSince = time.Now()
	}
	ticker := time.NewTicker(max(p.absentMax/200, time.Millisecond))
	defer ticker.Stop()
	for time.Since(p.absentSince) < p.absentMax {
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

func (p *process) markSize() int64 {
	info, err := os.Lstat(p.dir.path(markName))
	if err != nil {
		return 0
	}
	return info.Size()
}

func (p *process) lockReload(ctx context.Context) (*Lock, error) {
	lock, err := p.dir.LockReload(ctx, patience)
	if errors.Is(err, ErrLocked) {
		p.report(true, "waiting for a load that does not end: "+err.Error())
		return p.dir.LockReload(ctx, -1)
	}
	return lock, err
}

// takeMark puts the mark aside: a later one is not this look's. That there is none
// is as well: another look has taken it, and looks before this one.
func (p *process) takeMark() error {
	err := os.Rename(p.dir.path(markName), p.dir.path(lookingName))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

func (p *process) clearMark() error { return p.dir.remove(lookingName) }

func (p *process) begin(l *Lock) error      { return l.Begin() }
func (p *process) done(l *Lock) error       { return l.Done() }
func (p *process) interrupted(l *Lock) bool { return l.Interrupted() }
func (p *process) releaseReload(l *Lock)    { l.Release() }

// problem keeps the words for Dir.Problem. That they can't be written is no news:
// they are reported too.
func (p *process) problem(text string) {
	if text == "" {
		_ = p.dir.remove(problemName)
		return
	}
	_ = p.dir.write(problemName, text+"\n")
}
