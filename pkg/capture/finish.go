package capture

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"time"
)

// Bounds of what is done at last.
const (
	syncTimeout   = 60 * time.Second
	rebootTimeout = 60 * time.Second
	flushTimeout  = 2 * time.Second
	// remoteSync is instead of syncTimeout where a server may have vanished, whose files can't be written back. A dump
	// is on its disk by then.
	remoteSync = 5 * time.Second
	sysrqWait  = 5 * time.Second
)

// errBroken stands for a panic while rebooting.
var errBroken = errors.New("internal error")

// shells are tried in order.
var shells = [][]string{{"/bin/sh"}, {"/bin/bash"}, {"/bin/busybox", "sh"}}

// End carries out an action other than Shell for a process that is no init: it syncs,
// and calls reboot(2), or sysrq where that fails or hangs. Each step has its bound, so
// that a disk that stopped answering holds up none of them. On a real system it returns
// only if nothing has worked.
func End(sys System, cfg Config, action Action, console *Console) error {
	p := &initProcess{sys: sys, cfg: cfg.withDefaults(), out: console}
	p.sync()
	p.say("%s", action)
	p.out.Flush(flushTimeout)
	return p.reboot(action)
}

// sync writes back what others have written. It waits no longer than a target may take.
func (p *initProcess) sync() {
	p.guard("sync", func() {
		limit := min(syncTimeout, p.cfg.stallTimeout())
		if slices.ContainsFunc(p.cfg.Targets, Target.Remote) {
			limit = min(limit, remoteSync)
		}
		_, err := within(context.Background(), limit, "sync", func() (struct{}, error) {
			p.sys.Sync()
			return struct{}{}, nil
		})
		if err != nil {
			p.say("%v", err)
		}
	})
}

// finish carries out the action, and others in its place when it fails.
func (p *initProcess) finish(action Action, code int) Ending {
	p.sync()
	if action == Shell {
		p.guard("shell", p.shell)
		action = p.otherThanShell()
	}
	p.say("%s", action)
	if p.dogs != nil {
		// A reboot stays guarded; a machine that is to stay down must not come up.
		p.dogs.stop(action == Halt)
	}
	p.out.Flush(flushTimeout)
	err := p.reboot(action)
	if err != nil {
		p.say("%v; exiting, so that the kernel panics and reboots", err)
	}
	return Ending{Action: action, ExitCode: code, Err: err}
}

// otherThanShell is what to do after a shell, or without one.
func (p *initProcess) otherThanShell() Action {
	for _, a := range []Action{p.cfg.FinalAction, p.cfg.FailureAction} {
		if a != Shell {
			return a
		}
	}
	return Reboot
}

func (p *initProcess) shell() {
	for _, argv := range shells {
		if _, err := fs.Stat(p.sys.FS(), argv[0][1:]); err != nil {
			continue
		}
		p.say("starting %s; the machine goes on to %s when it ends", argv[0], p.otherThanShell())
		p.out.Flush(flushTimeout)
		if err := p.sys.Shell(argv, p.terminal()); err != nil {
			p.say("shell: %v", err)
			continue
		}
		return
	}
	p.say("there is no usable shell in this initramfs")
}

// reboot tries reboot(2), and sysrq when that fails or hangs on a device that
// doesn't shut down.
func (p *initProcess) reboot(action Action) (err error) {
	err = errBroken
	p.guard("reboot", func() {
		_, err = within(context.Background(), rebootTimeout, string(action), func() (struct{}, error) {
			return struct{}{}, p.sys.Reboot(action)
		})
		if err == nil {
			return
		}
		p.say("%v; trying sysrq", err)
		p.out.Flush(flushTimeout)
		key := "b"
		if action == Poweroff {
			key = "o"
		}
		if sysrqErr := p.write("/proc/sysrq-trigger", key); sysrqErr != nil {
			err = fmt.Errorf("%w; %w", err, sysrqErr)
		}
		// sysrq's poweroff is done by a worker.
		time.Sleep(sysrqWait)
	})
	return err
}
