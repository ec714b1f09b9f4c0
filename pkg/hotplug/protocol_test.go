package hotplug

import (
	"context"
	"os"
	"strings"
	"testing"

	"github.com/gokexec/gokexec/pkg/statedir"
)

// Every order of steps and kills: no event is lost, at most one loads, at most one
// waits, and what a killed process has left is found.
func TestProtocol(t *testing.T) {
	for _, tt := range []struct {
		name string
		scenario
		long bool
	}{
		{"two events", scenario{events: 2}, false},
		{"three events", scenario{events: 3}, false},
		{"two events, two kills", scenario{events: 2, kills: 2}, false},
		{"two events and a load, a kill", scenario{events: 2, loads: 1, kills: 1}, false},
		{"two events, kernel updates, a kill", scenario{events: 2, loads: 1, kernelUpdates: true, kills: 1}, false},
		{"two events and a load by another program", scenario{events: 2, otherLoads: 1}, false},
		{"two events and a load by another program, kernel updates, a kill", scenario{events: 2, otherLoads: 1, kernelUpdates: true, kills: 1}, false},
		{"an event and two loads by another program, a kill", scenario{events: 1, otherLoads: 2, kills: 1}, false},
		{"three events, a kill", scenario{events: 3, kills: 1}, true},
		{"three events, the rule, a kill", scenario{events: 3, rule: true, kills: 1}, false},
		{"three events, the rule, the kernel updates", scenario{events: 3, rule: true, kernelUpdates: true}, false},
		{"two events, the rule, and a load, a kill", scenario{events: 2, rule: true, loads: 1, kills: 1}, false},
		{"two events, the rule, an unload, a kill", scenario{events: 2, rule: true, unloads: 1, kills: 1}, false},
		{"two events, the rule, and a load by another program", scenario{events: 2, rule: true, otherLoads: 1}, false},
		{"two events that are announced, the rule, two kills", scenario{events: 2, rule: true, announced: true, kills: 2}, false},
		{"three events that are announced", scenario{events: 3, announced: true}, false},
		{"two events, the rule, a reload fails late, a kill", scenario{events: 2, rule: true, failLate: 1, kills: 1}, false},
		{"four events, the rule, two kills", scenario{events: 4, rule: true, kills: 2}, true},
		{"two events, a reload fails late", scenario{events: 2, failLate: 1}, false},
		{"two events, a reload loads nothing", scenario{events: 2, silent: 1}, false},
		{"two events, what was loaded is not ours, a reload loads nothing", scenario{events: 2, silent: 1, neverOurs: true}, false},
		{"two events, what was loaded is not ours, a reload fails late, a kill", scenario{events: 2, failLate: 1, neverOurs: true, kills: 1}, false},
		{"an event and a load, one fails late, a kill", scenario{events: 1, loads: 1, failLate: 1, kills: 1}, false},
		{"an event and a load, both fail late", scenario{events: 1, loads: 1, failLate: 2}, false},
		{"two events and an unload, a kill", scenario{events: 2, unloads: 1, kills: 1}, false},
		{"an event, a load and an unload, one fails late", scenario{events: 1, loads: 1, unloads: 1, failLate: 1}, false},
		{"two events, another program unloads", scenario{events: 2, otherUnloads: 1}, false},
		{"an event, another program unloads and one loads, a kill", scenario{events: 1, otherLoads: 1, otherUnloads: 1, kills: 1}, false},
		{"three events, two kills", scenario{events: 3, kills: 2}, true},
		{"four events", scenario{events: 4}, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if tt.long && os.Getenv("GOKEXEC_EXPLORE") != "full" {
				t.Skip("takes long; GOKEXEC_EXPLORE=full runs it")
			}
			x := explorer{scenario: tt.scenario}
			if bad := x.explore(); bad != "" {
				t.Error(bad)
			}
			t.Logf("%d states, %d runs, %d ends", len(x.seen), x.runs, x.ends)
			if x.ends == 0 || len(x.seen) < 50 {
				t.Errorf("explored %d states to %d ends; want many", len(x.seen), x.ends)
			}
		})
	}
}

// broken breaks the protocol in one place.
type broken struct {
	*actor
	lateRelease, lateUnlink, noCover, noRename, noMark, noNote, impatient, noWant, noProblem bool
}

func (b *broken) releasePending() {
	switch {
	case b.lateUnlink:
		b.step("releasePending", nil, func(w *world) string { w.pending = nobody; return "" })
	case !b.lateRelease:
		b.actor.releasePending()
	}
}

func (b *broken) releaseReload(l *statedir.Lock) {
	b.actor.releaseReload(l)
	if b.lateUnlink {
		b.step("unlink", nil, func(w *world) string { w.link = nobody; return "" })
	}
	if b.lateRelease {
		b.actor.releasePending()
	}
}

func (b *broken) cover() {
	if !b.noCover {
		b.actor.cover()
		return
	}
	b.step("cover", nil, func(w *world) string { w.link = b.id; return "" })
}

func (b *broken) awaitLoad(ctx context.Context) bool {
	return !b.impatient && b.actor.awaitLoad(ctx)
}

func (b *broken) mark() error {
	if b.noMark {
		b.marked = true
		return nil
	}
	return b.actor.mark()
}

func (b *broken) takeMark() error {
	if b.noRename {
		return nil
	}
	return b.actor.takeMark()
}

func (b *broken) clearMark() error {
	b.step("clearMark", nil, func(w *world) string {
		if w.looking = false; b.noRename {
			w.mark = false
		}
		return ""
	})
	return nil
}

func (b *broken) begin(l *statedir.Lock) error {
	if b.noNote {
		return nil
	}
	return b.actor.begin(l)
}

func (b *broken) want(l *statedir.Lock, note statedir.Wanted) error {
	if b.noWant {
		return nil
	}
	return b.actor.want(l, note)
}

func (b *broken) wanted(l *statedir.Lock) (statedir.Wanted, bool) {
	if b.noWant {
		return statedir.Wanted{}, false
	}
	return b.actor.wanted(l)
}

func (b *broken) problem(text string) {
	if !b.noProblem {
		b.actor.problem(text)
	}
}

// The explorer must find what is wrong with a protocol that is.
func TestProtocolBroken(t *testing.T) {
	for _, tt := range []struct {
		name string
		scenario
		broken broken
		want   string
	}{
		{"pending lock released after the check", scenario{events: 2}, broken{lateRelease: true}, "a mark is left"},
		{"pending link removed after the check", scenario{events: 2, rule: true}, broken{lateUnlink: true}, "nothing reports it"},
		{"no mark for events without a process", scenario{events: 3, rule: true, kills: 1}, broken{noCover: true}, "nothing reports it"},
		{"mark removed instead of renamed", scenario{events: 2, kills: 1}, broken{noRename: true}, "nothing reports it"},
		{"no mark", scenario{events: 2, kills: 1}, broken{noMark: true}, "nothing reports it"},
		{"not waiting for a load by another program", scenario{events: 1, otherLoads: 1}, broken{impatient: true}, "a mark is left"},
		{"what is wanted is not kept", scenario{events: 1, silent: 1}, broken{noWant: true}, "nothing reports it"},
		{"no problem is noted", scenario{events: 1, failLate: 1}, broken{noProblem: true}, "no problem is noted"},
		{"no note of a load", scenario{events: 2, kills: 1, neverOurs: true}, broken{noNote: true}, "nothing reports it"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tt.wrap = func(_ steps, a *actor) steps { b := tt.broken; b.actor = a; return &b }
			x := explorer{scenario: tt.scenario}
			if bad := x.explore(); !strings.Contains(bad, tt.want) {
				t.Errorf("explored %d states and found %q; want %q", len(x.seen), bad, tt.want)
			}
		})
	}
}
