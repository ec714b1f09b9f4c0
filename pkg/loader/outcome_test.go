package loader

import (
	"errors"
	"testing"

	"github.com/gokexec/gokexec/pkg/accuracy"
	"github.com/gokexec/gokexec/pkg/advice"
	"github.com/gokexec/gokexec/pkg/machine"
	"github.com/gokexec/gokexec/pkg/plan"
)

// An Outcome has what a caller prints, and Begin encloses all that is done under the lock.
func TestLoadOutcome(t *testing.T) {
	b := newBench(t)
	spec := b.spec(t, "x")
	var began, ended int
	b.Begin = func() func() {
		if began++; !b.stateDir().Locked() {
			t.Error("Begin is called without the lock")
		}
		return func() { ended++ }
	}
	out, err := b.Load(t.Context(), spec)
	if err != nil || out.Plan == nil || out.Plan.Spec.Kernel.Path != spec.Kernel.Path || len(out.Findings) == 0 || out.Held {
		t.Fatalf("Load = %+v, %v; want the plan that was carried out, and its checks", out, err)
	}
	if out.Verification == nil || out.Verification.Accuracy != accuracy.Accurate {
		t.Errorf("Load verifies %v; want accurate", out.Verification)
	}
	calls := b.kernel.Calls
	if out, err = b.LoadUnlessHeld(t.Context(), spec); err != nil || !out.Held || out.Plan != nil || b.kernel.Calls != calls {
		t.Errorf("LoadUnlessHeld = %+v, %v after %d calls; want nothing done", out, err, b.kernel.Calls-calls)
	}
	if began != 2 || ended != 2 {
		t.Errorf("Begin was called %d times, and ended %d times; want 2", began, ended)
	}
}

// A Check of the caller's decides instead of the usual ones, before the call.
func TestLoadCheck(t *testing.T) {
	b := newBench(t)
	no := errors.New("not today")
	found := []advice.Finding{{Check: "mood", Level: advice.Failure}}
	b.Check = func(*machine.Host, *plan.Inputs, *plan.Plan) ([]advice.Finding, error) { return found, no }
	out, err := b.Load(t.Context(), b.spec(t, "x"))
	if !errors.Is(err, no) || out.Plan == nil || len(out.Findings) != 1 || b.kernel.Calls != 0 {
		t.Errorf("Load = %+v, %v after %d calls; want it refused by the caller's check before any", out, err, b.kernel.Calls)
	}
}
