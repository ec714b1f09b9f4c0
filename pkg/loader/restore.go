package loader

import (
	"context"
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/gokexec/gokexec/pkg/accuracy"
	"github.com/gokexec/gokexec/pkg/advice"
	"github.com/gokexec/gokexec/pkg/check"
	"github.com/gokexec/gokexec/pkg/kcore"
	"github.com/gokexec/gokexec/pkg/machine"
	"github.com/gokexec/gokexec/pkg/plan"
	"github.com/gokexec/gokexec/pkg/record"
)

// ErrUnarmed is wrapped when a load has cost the crash kernel that was loaded, and
// it could not be restored.
var ErrUnarmed = errors.New("no crash kernel is loaded now")

// restore loads the last good crash image again after a load that cost it.
func (l *Loader) restore(ctx context.Context, cause error) error {
	path, without, err := l.loadRecorded(ctx, cause)
	if err != nil {
		return &advice.Problem{Err: errors.Join(cause, ErrUnarmed),
			What: fmt.Sprintf("%v; the crash kernel that was loaded before is gone, and could not be restored: %v", cause, err),
			Hint: "this machine has no crash kernel now; " + advice.Hint(cause)}
	}
	return &advice.Problem{Err: cause,
		What: fmt.Sprintf("%v; the crash kernel loaded before (%s) was restored%s", cause, path, without),
		Hint: advice.Hint(cause)}
}

// loadRecorded makes the recorded load once more, by the method that it was made by,
// and records it as before.
func (l *Loader) loadRecorded(ctx context.Context, cause error) (path, without string, err error) {
	if l.StateDir == "" {
		return "", "", errors.New("no record of it is kept")
	}
	state, err := record.Read(l.StateDir)
	if err != nil {
		return "", "", err
	}
	in, err := l.openRecorded(ctx, state)
	if err != nil {
		return "", "", err
	}
	defer in.Close()
	method := state.Method
	if errors.Is(cause, unix.ENOKEY) && machine.HasDiskKeys(l.Root) && plan.CanPlanSegments(l.Arch) {
		// By kexec_file_load it would fail for the same reason; kexec_load asks for no keys.
		method, without = plan.Segments, withoutDiskKeys
	}
	host, err := machine.ReadHost(l.Root, l.Arch)
	if err != nil {
		return "", "", err
	}
	p, err := in.Plan(host, method)
	if err != nil {
		return "", "", err
	}
	changed := state.ChangedFiles(in.Spec)
	keys := l.recordedDiskKeys(state, in, changed)(p, host)
	p.RequireDiskKeys(keys)
	if p.Method == plan.File {
		err = l.prepareDiskKeys(p)
	}
	if err != nil && !plan.CanPlanSegments(l.Arch) {
		return "", "", err
	}
	if err != nil {
		l.report(err.Error())
		without = withoutDiskKeys
		if p, err = in.Plan(host, plan.Segments); err != nil {
			return "", "", err
		}
		p.RequireDiskKeys(keys) // so that the record tells what it lacks
	}
	if err := l.refuseRestored(host, in, p, changed); err != nil {
		return "", "", err
	}
	// Nothing is loaded, so nothing can be lost by trying all the same.
	if err := advice.FirstFailure(check.Load(host, p)); err != nil {
		l.report("restoring the crash kernel that was loaded before, although " + err.Error())
	}
	if err := l.call(ctx, machine.Crash, func() error { return l.carryOut(in, p) }); err != nil {
		return "", "", err
	}
	l.record(p, host)
	l.dropBoot(ctx)
	return in.Spec.Kernel.Path, without, nil
}

const withoutDiskKeys = ", without the keys of encrypted disks"

// loaded is what is known after a crash load.
type loaded struct {
	host     *machine.Host // the machine, read after the load; nil: it can't be read
	recorded bool
}

// record writes what was loaded, and by what it is told from the load of another
// program. An older record must not be taken for that of this load.
func (l *Loader) record(p *plan.Plan, before *machine.Host) (done loaded) {
	var last *kcore.Machine
	if before != nil {
		last = before.Dump
	}
	if host, err := machine.RereadHost(l.Root, l.Arch, last); err == nil {
		done.host = host
	}
	if l.StateDir == "" {
		return done
	}
	state := record.New(p)
	state.KeyCount = machine.DiskKeyCount(l.Root)
	if done.host != nil {
		if state.Elfcorehdr == 0 {
			state.Elfcorehdr = accuracy.FileHeader(l.Root, done.host)
		}
		state.Memory = accuracy.TakeFingerprint(l.Root, state.Elfcorehdr, done.host, p)
	}
	err := state.Write(l.StateDir)
	if err == nil {
		done.recorded = true
		return done
	}
	l.report("loaded, but not noted for loading it again later: " + err.Error())
	if err := record.Remove(l.StateDir); err != nil {
		l.report(err.Error())
	}
	return done
}
