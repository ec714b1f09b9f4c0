package hotplug

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"strings"

	"github.com/gokexec/gokexec/pkg/accuracy"
	"github.com/gokexec/gokexec/pkg/statedir"
)

// The explorer runs the real Handler in several processes over a world in which
// every step is atomic, and puts the steps, and kills, into every order there is.
// States that were seen before are not explored again: a process is what its
// steps have told it.

// world is the machine, the kernel and the directory.
type world struct {
	version         int // of the machine's memory
	header          int // the version that the loaded header describes
	loaded          bool
	mark, looking   bool
	waiting         bool // the mark of who holds the pending lock
	loadingNote     bool
	problem         bool
	wanted          bool
	w               statedir.Wanted
	owed            bool // a crash kernel is wanted, whatever the file says
	unseen          bool // another program has unloaded it since the last check
	failLate        int  // how many loads are still to fail when the old image is gone
	silent          int  // how many are to load nothing and say nothing
	failed          bool // one did either, or another program has unloaded what was loaded
	pending, reload int  // holders of the locks, or nobody
	link            int  // the process through which the pending link leads, or nobody
	loaders         int  // loads that are under way
	otherLoading    bool // one is under way that takes no lock but the kernel's
	kills           int  // so far
	bad             string
}

const nobody = -1

// request is the next step of a process.
type request struct {
	name    string
	enabled func(*world) bool // nil: always
	do      func(*world) string
}

// actor is a process: a coroutine that yields a request before each step.
type actor struct {
	id      int
	next    func() (*request, bool)
	stop    func()
	yield   func(*request) bool
	todo    *request // nil: it has ended
	killed  bool
	marked  bool // it has left its mark; before that a kill can't be told from no event
	loading bool
	history strings.Builder
}

// step does one, unless the process was killed: then it runs to its end without
// touching anything.
func (a *actor) step(name string, enabled func(*world) bool, do func(*world) string) {
	if !a.killed && !a.yield(&request{name, enabled, do}) {
		a.killed = true
	}
}

func (a *actor) mark() error {
	a.step("mark", nil, func(w *world) string { w.mark, a.marked = true, true; return "" })
	return nil
}

func (a *actor) tryPending() (mine bool, err error) {
	a.step("tryPending", nil, func(w *world) string {
		if mine = w.pending == nobody; mine {
			w.pending = a.id
		}
		return fmt.Sprint(mine)
	})
	return mine, nil
}

func (a *actor) cover() {
	a.step("cover", nil, func(w *world) string { w.waiting, w.link = true, a.id; return "" })
}

func (a *actor) takeCover() error {
	a.step("takeCover", nil, func(w *world) string {
		if w.waiting {
			w.waiting, w.looking = false, true
		}
		return ""
	})
	return nil
}

func (a *actor) settle(context.Context) {}

// awaitLoad is patient enough for any load that is under way.
func (a *actor) awaitLoad(context.Context) (loaded bool) {
	a.step("awaitLoad", func(w *world) bool { return w.loaded || !w.otherLoading }, func(w *world) string {
		loaded = w.loaded
		return fmt.Sprint(loaded)
	})
	return loaded
}

func (a *actor) lockReload(context.Context) (*statedir.Lock, error) {
	a.step("lockReload", func(w *world) bool { return w.reload == nobody }, func(w *world) string { w.reload = a.id; return "" })
	return nil, nil
}

func (a *actor) releasePending() {
	a.step("unlink", nil, func(w *world) string { w.link = nobody; return "" })
	a.step("releasePending", nil, func(w *world) string { w.pending = nobody; return "" })
}

func (a *actor) takeMark() error {
	a.step("takeMark", nil, func(w *world) string {
		if w.mark {
			w.mark, w.looking = false, true
		}
		return ""
	})
	return nil
}

func (a *actor) clearMark() error {
	a.step("clearMark", nil, func(w *world) string { w.looking = false; return "" })
	return nil
}

func (a *actor) begin(*statedir.Lock) error {
	a.step("begin", nil, func(w *world) string { w.loadingNote = true; return "" })
	return nil
}

func (a *actor) done(*statedir.Lock) error {
	a.step("done", nil, func(w *world) string { w.loadingNote = false; return "" })
	return nil
}

func (a *actor) interrupted(*statedir.Lock) (is bool) {
	a.step("interrupted", nil, func(w *world) string { is = w.loadingNote; return fmt.Sprint(is) })
	return is
}

func (a *actor) problem(text string) {
	a.step("problem", nil, func(w *world) string { w.problem = text != ""; return "" })
}

func (a *actor) wanted(*statedir.Lock) (note statedir.Wanted, is bool) {
	a.step("wanted", nil, func(w *world) string { note, is = w.w, w.wanted; return fmt.Sprint(is, note) })
	return note, is
}

// want keeps no times: they would make all states differ.
func (a *actor) want(_ *statedir.Lock, note statedir.Wanted) error {
	a.step("want", nil, func(w *world) string {
		w.wanted, w.w = true, statedir.Wanted{Failures: note.Failures, Unloaded: note.Unloaded}
		return ""
	})
	return nil
}

func (a *actor) releaseReload(*statedir.Lock) {
	a.step("releaseReload", nil, func(w *world) string { w.reload = nobody; return "" })
}

// look reads header and machine one after the other.
func (a *actor) look(context.Context) Status {
	l := Status{State: accuracy.Accurate}
	header := 0
	a.step("readHeader", nil, func(w *world) string {
		if header, w.unseen = w.header, false; !w.loaded {
			l.State = accuracy.NotLoaded
		}
		return fmt.Sprint(header, l.State)
	})
	a.step("readMachine", nil, func(w *world) string {
		if header != w.version && l.State == accuracy.Accurate {
			l.State = accuracy.Stale
		}
		return fmt.Sprint(l.State)
	})
	return l
}

// load is a load: the old image is freed, the machine read, the new one put there.
// While the kernel is busy it is tried again.
func (a *actor) load(context.Context, Attempt) error {
	version := 0
	a.step("free", func(w *world) bool { return !w.otherLoading }, func(w *world) string {
		w.owed = w.owed || w.loaded
		if a.loading, w.loaded = true, false; w.loaders > 0 {
			w.bad = "two loads at once"
		}
		w.loaders++
		version = w.version
		return fmt.Sprint(version)
	})
	var err error
	a.step("load", nil, func(w *world) string {
		a.loading = false
		w.loaders--
		switch {
		case w.failLate > 0:
			w.failLate, w.failed, err = w.failLate-1, true, errors.New("no memory")
		case w.silent > 0:
			w.silent, w.failed = w.silent-1, true
		default:
			w.header, w.loaded, w.owed = version, true, true
		}
		return fmt.Sprint(w.loaded)
	})
	return err
}

// kill frees what the kernel frees with a process.
func (a *actor) kill(w *world) {
	a.stop()
	a.todo = nil
	w.kills++
	if w.pending == a.id {
		w.pending = nobody
	}
	if w.link == a.id {
		w.link = nobody
	}
	if w.reload == a.id {
		w.reload = nobody
	}
	if a.loading {
		w.loaders--
	}
}

// scenario is what is explored.
type scenario struct {
	events, loads int  // processes of each kind
	rule          bool // an event that finds the pending link has no process
	announced     bool // a process announces its event before it handles it, as that of gokexec hotplug does
	otherLoads    int  // loads that take no lock but the kernel's
	unloads       int  // explicit ones
	otherUnloads  int  // by another program
	kernelUpdates bool // the kernel follows a change, unless a load is under way
	neverOurs     bool // what is loaded at first is another program's
	failLate      int  // loads that fail when the old image is gone
	silent        int  // reloads that load nothing and say nothing
	kills         int
	wrap          func(steps, *actor) steps // to break the protocol; nil: as it is
}

func (sc *scenario) start(w *world) []*actor {
	*w = world{pending: nobody, link: nobody, reload: nobody, loaded: true, wanted: !sc.neverOurs, owed: !sc.neverOurs, failLate: sc.failLate, silent: sc.silent}
	var actors []*actor
	for _, kind := range []struct {
		n   int
		run func(*actor)
	}{{sc.events, sc.event}, {sc.loads, explicitLoad}, {sc.otherLoads, otherLoad}, {sc.unloads, explicitUnload}, {sc.otherUnloads, otherUnload}} {
		for range kind.n {
			a := &actor{id: len(actors)}
			a.next, a.stop = iter.Pull(func(yield func(*request) bool) {
				a.yield = yield
				kind.run(a)
			})
			a.todo, _ = a.next()
			actors = append(actors, a)
		}
	}
	return actors
}

// event changes the machine and then is one event's process.
func (sc *scenario) event(a *actor) {
	a.step("change", nil, func(w *world) string {
		if w.version++; sc.kernelUpdates && w.loaded && w.loaders == 0 && !w.otherLoading {
			w.header = w.version
		}
		return ""
	})
	covered := false
	if sc.rule {
		a.step("rule", nil, func(w *world) string { covered = w.link != nobody; return fmt.Sprint(covered) })
	}
	if a.killed || covered {
		return
	}
	if sc.announced {
		var s steps = a
		if sc.wrap != nil {
			s = sc.wrap(a, a)
		}
		if coalesced, _ := announceEvent(s); coalesced || a.killed {
			return
		}
	}
	sc.handle(a)
}

func (sc *scenario) handle(a *actor) {
	var s steps = a
	if sc.wrap != nil {
		s = sc.wrap(a, a)
	}
	h := &Handler{Check: a.look, Reload: a.load}
	// It is no error of the protocol if memory changed again after each of several
	// reloads: the event of the last change checks once more.
	if _, err := h.event(context.Background(), s); err != nil && !errors.Is(err, ErrStale) && !errors.Is(err, ErrUnarmed) && !a.killed {
		a.step("failed", nil, func(w *world) string { w.bad = err.Error(); return "" })
	}
}

// explicitLoad is gokexec load: loader.Loader.Locked.
func explicitLoad(a *actor) {
	lock, _ := a.lockReload(context.Background())
	note, before := a.wanted(lock)
	before = a.interrupted(lock) || before
	a.step("see", nil, func(w *world) string { before = before || w.loaded; return fmt.Sprint(before) })
	a.begin(lock)
	a.marked = true
	err := a.load(context.Background(), Attempt{})
	gone := false
	a.step("see", nil, func(w *world) string { gone = !w.loaded; return fmt.Sprint(gone) })
	switch {
	case err == nil && !gone:
		a.want(lock, statedir.Wanted{})
		a.problem("")
	case gone && before:
		note.Failures++
		a.want(lock, note)
		a.problem("lost")
		a.mark()
	}
	a.done(lock)
	a.releaseReload(lock)
}

// explicitUnload is gokexec unload.
func explicitUnload(a *actor) {
	lock, _ := a.lockReload(context.Background())
	a.begin(lock)
	a.marked = true
	a.step("unload", func(w *world) bool { return !w.otherLoading }, func(w *world) string { w.loaded = false; return "" })
	a.step("unwant", nil, func(w *world) string {
		w.wanted, w.w, w.problem, w.mark, w.looking, w.loadingNote, w.owed = false, statedir.Wanted{}, false, false, false, false, false
		w.waiting = w.waiting && w.pending != nobody
		return ""
	})
	a.releaseReload(lock)
}

// otherUnload is another program's.
func otherUnload(a *actor) {
	a.step("unload, other", func(w *world) bool { return w.loaders == 0 && !w.otherLoading }, func(w *world) string {
		w.loaded, w.unseen, w.failed = false, true, true
		return ""
	})
}

// otherLoad is another program's, by kexec_file_load.
func otherLoad(a *actor) {
	version := 0
	a.step("free, other", func(w *world) bool { return w.loaders == 0 && !w.otherLoading }, func(w *world) string {
		w.otherLoading, w.loaded, version = true, false, w.version
		return fmt.Sprint(version)
	})
	a.step("load, other", nil, func(w *world) string {
		w.header, w.loaded, w.otherLoading = version, true, false
		return ""
	})
}
