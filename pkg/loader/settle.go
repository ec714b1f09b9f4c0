package loader

import (
	"context"
	"fmt"

	"github.com/gokexec/gokexec/pkg/accuracy"
	"github.com/gokexec/gokexec/pkg/kcore"
	"github.com/gokexec/gokexec/pkg/machine"
	"github.com/gokexec/gokexec/pkg/plan"
)

// maxRounds bounds how often a load is made while memory keeps changing under it. A caller
// that verifies and reloads by itself has one round (ReloadOptions.LockHeld).
const maxRounds = 4

// loadSettled carries out a plan of in and verifies the outcome (accuracy.Verify): a load
// describes the machine as it was when it began, and the kernel drops what comes
// or goes meanwhile (kernel/crash_core.c: "kexec_trylock() failed"). If the
// header is stale, it plans and loads again, in so many rounds at most, and only where
// no limit counts loads. Where the header can't be verified, the machine's memory and
// CPUs must be the same before and after.
//
// That the header is still stale then is no error: the Verification says so. It is nil
// for an ordinary kexec. The plan is the last one that was made, if any.
func (l *Loader) loadSettled(ctx context.Context, in *plan.Inputs, rounds int, make planner) (*plan.Plan, *accuracy.Verification, error) {
	for round := 1; ; round++ {
		p, before, err := make()
		if err != nil {
			return p, nil, err
		}
		done, err := l.load(ctx, in, p, before)
		if err != nil || p.Kind != machine.Crash {
			return p, nil, err
		}
		v := l.verify(done)
		settled := v.Accuracy != accuracy.Stale
		if v.Accuracy == accuracy.Unverified {
			settled = p.Generation == done.host.Generation()
		}
		if settled || round == rounds || ctx.Err() != nil || !l.unlimited(machine.Crash) {
			return p, v, nil
		}
		l.report(fmt.Sprintf("memory or CPUs changed during the load (%v); loading again", v))
	}
}

// planner makes a plan for the machine as it is, and gives that machine too.
type planner func() (*plan.Plan, *machine.Host, error)

// verify verifies a load that was just made, with the machine as it was read after it.
func (l *Loader) verify(done loaded) *accuracy.Verification {
	var foreign *bool
	if done.recorded {
		foreign = new(bool) // the record is of this very load
	}
	var m *kcore.Machine
	if done.host != nil {
		m = done.host.Dump
	}
	return accuracy.Settle(l.Root, l.StateDir, accuracy.VerifyMachine(l.Root, l.StateDir, m, foreign))
}
