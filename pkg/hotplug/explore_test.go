package hotplug

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"strings"
)

// The explorer runs the real Handler in several processes over a world in which
// every step is atomic, and puts the steps, and kills, into every order there is.
// States that were seen before are not explored again: a process is what its
// steps have told it.

// world is the machine, the kernel and the folder.
type world struct {
	version         int // of the machine's memory
	header          int // the version that the loaded header describes
	loaded          bool
	mark, looking   bool
	loadingNote     bool
	pending, reload int  // holders of the locks, or nobody
	loaders         int  // loads that are under way
	foreign         bool // one is under way that takes no lock but the kernel's
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
	want    *request // nil: it has ended
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

func (a *actor) settle(context.Context) {}

// awaitLoad is patient enough for any load that is under way.
func (a *actor) awaitLoad(context.Context) (loaded bool) {
	a.step("awaitLoad", func(w *world) bool { return w.loaded || !w.foreign }, func(w *world) string {
		loaded = w.loaded
		return fmt.Sprint(loaded)
	})
	return loaded
}

func (a *actor) lockReload(context.Context) (*Lock, error) {
	a.step("lockReload", func(w *world) bool { return w.reload == nobody }, func(w *world) string { w.reload = a.id; return "" })
	return nil, nil
}

func (a *actor) releasePending() {
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

func (a *actor) begin(*Lock) error {
	a.step("begin", nil, func(w *world) string { w.loadingNote = true; return "" })
	return nil
}

func (a *actor) done(*Lock) error {
	a.step("done", nil, func(w *world) string { w.loadingNote = false; return "" })
	return nil
}

func (a *actor) interrupted(*Lock) (is bool) {
	a.step("interrupted", nil, func(w *world) string { is = w.loadingNote; return fmt.Sprint(is) })
	return is
}

func (a *actor) problem(string) {}

func (a *actor) releaseReload(*Lock) {
	a.step("releaseReload", nil, func(w *world) string { w.reload = nobody; return "" })
}

// look reads header and machine one after the other.
func (a *actor) look(context.Context) Look {
	l := Look{State: Accurate}
	header := 0
	a.step("readHeader", nil, func(w *world) string {
		if header = w.header; !w.loaded {
			l.State = NotLoaded
		}
		return fmt.Sprint(header, l.State)
	})
	a.step("readMachine", nil, func(w *world) string {
		if header != w.version && l.State == Accurate {
			l.State = Stale
		}
		return fmt.Sprint(l.State)
	})
	return l
}

// load is a load: the old image is freed, the machine read, the new one put there.
// While the kernel is busy it is tried again.
func (a *actor) load(context.Context, Attempt) error {
	version := 0
	a.step("free", func(w *world) bool { return !w.foreign }, func(w *world) string {
		if a.loading, w.loaded = true, false; w.loaders > 0 {
			w.bad = "two loads at once"
		}
		w.loaders++
		version = w.version
		return fmt.Sprint(version)
	})
	a.step("load", nil, func(w *world) string {
		w.header, w.loaded, a.loading = version, true, false
		w.loaders--
		return ""
	})
	return nil
}

// kill frees what the kernel frees with a process.
func (a *actor) kill(w *world) {
	a.stop()
	a.want = nil
	w.kills++
	if w.pending == a.id {
		w.pending = nobody
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
	foreign       int  // loads that take no lock but the kernel's
	kernelUpdates bool // the kernel follows a change, unless a load is under way
	kills         int
	wrap          func(steps, *actor) steps // to break the protocol; nil: as it is
}

func (sc *scenario) start(w *world) []*actor {
	*w = world{pending: nobody, reload: nobody, loaded: true}
	var actors []*actor
	for i := range sc.events + sc.loads + sc.foreign {
		a := &actor{id: i}
		run := func() { sc.event(a) }
		switch {
		case i >= sc.events+sc.loads:
			run = func() { foreignLoad(a) }
		case i >= sc.events:
			run = func() { explicitLoad(a) }
		}
		a.next, a.stop = iter.Pull(func(yield func(*request) bool) {
			a.yield = yield
			run()
		})
		a.want, _ = a.next()
		actors = append(actors, a)
	}
	return actors
}

// event changes the machine and then is one event's process.
func (sc *scenario) event(a *actor) {
	a.step("change", nil, func(w *world) string {
		if w.version++; sc.kernelUpdates && w.loaded && w.loaders == 0 && !w.foreign {
			w.header = w.version
		}
		return ""
	})
	if !a.killed {
		sc.handle(a)
	}
}

func (sc *scenario) handle(a *actor) {
	var s steps = a
	if sc.wrap != nil {
		s = sc.wrap(a, a)
	}
	h := &Handler{Look: a.look, Reload: a.load}
	// That memory changed again after each of several reloads is no error of the
	// protocol: the event of the last change looks once more.
	if _, err := h.event(context.Background(), s); err != nil && !errors.Is(err, ErrStale) && !a.killed {
		a.step("failed", nil, func(w *world) string { w.bad = err.Error(); return "" })
	}
}

// explicitLoad is gokexec load.
func explicitLoad(a *actor) {
	lock, _ := a.lockReload(context.Background())
	a.begin(lock)
	a.marked = true
	a.load(context.Background(), Attempt{})
	a.done(lock)
	a.releaseReload(lock)
}

// foreignLoad is another program's, by kexec_file_load.
func foreignLoad(a *actor) {
	version := 0
	a.step("free, foreign", func(w *world) bool { return w.loaders == 0 && !w.foreign }, func(w *world) string {
		w.foreign, w.loaded, version = true, false, w.version
		return fmt.Sprint(version)
	})
	a.step("load, foreign", nil, func(w *world) string {
		w.header, w.loaded, w.foreign = version, true, false
		return ""
	})
}

// choice is what is done next: a step of a process, or its end.
type choice struct {
	actor int
	kill  bool
}

// explorer counts what it has seen.
type explorer struct {
	scenario
	seen   map[string]bool
	runs   int
	ends   int
	traces []string // of the run in progress
}

// explore returns what is wrong and how it came to that, "" if nothing is.
func (x *explorer) explore() (bad string) {
	x.seen = map[string]bool{}
	todo := [][]choice{nil}
	for len(todo) > 0 && bad == "" {
		path := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		todo, bad = x.run(path, todo)
	}
	return bad
}

// run repeats a path, goes on from its end to an end of the world, and leaves the
// other ways it could have gone in todo.
func (x *explorer) run(path []choice, todo [][]choice) ([][]choice, string) {
	x.runs++
	x.traces = x.traces[:0]
	w := &world{}
	actors := x.start(w)
	defer func() {
		for _, a := range actors {
			a.killed = true
			a.stop()
		}
	}()
	for _, c := range path {
		x.apply(w, actors, c)
	}
	for {
		if w.bad == "" {
			w.bad = invariant(w, actors)
		}
		if w.bad != "" {
			return todo, x.tell(w.bad)
		}
		choices := x.choices(w, actors)
		if len(choices) == 0 {
			x.ends++
			return todo, x.checkEnd(w, actors)
		}
		key := stateKey(w, actors)
		if x.seen[key] {
			return todo, ""
		}
		x.seen[key] = true
		for _, c := range choices[1:] {
			todo = append(todo, append(append([]choice(nil), path...), c))
		}
		path = append(append([]choice(nil), path...), choices[0])
		x.apply(w, actors, choices[0])
	}
}

func (x *explorer) apply(w *world, actors []*actor, c choice) {
	a := actors[c.actor]
	if c.kill {
		x.traces = append(x.traces, fmt.Sprintf("%d killed before %s", a.id, a.want.name))
		a.killed = true
		a.kill(w)
		return
	}
	result := a.want.do(w)
	x.traces = append(x.traces, fmt.Sprintf("%d %s %s", a.id, a.want.name, result))
	fmt.Fprintf(&a.history, "%s=%s;", a.want.name, result)
	var more bool
	if a.want, more = a.next(); !more {
		a.want = nil
	}
}

func (x *explorer) choices(w *world, actors []*actor) []choice {
	var cs []choice
	for i, a := range actors {
		if a.want != nil && (a.want.enabled == nil || a.want.enabled(w)) {
			cs = append(cs, choice{i, false})
		}
	}
	for i, a := range actors {
		if a.want != nil && a.marked && w.kills < x.kills {
			cs = append(cs, choice{i, true})
		}
	}
	return cs
}

// invariant holds at every moment.
func invariant(w *world, actors []*actor) string {
	waiting := 0
	for _, a := range actors {
		if a.want != nil && a.want.name == "lockReload" && w.pending == a.id {
			waiting++
		}
	}
	if waiting > 1 {
		return "two wait for the reload lock"
	}
	return ""
}

// checkEnd: all have ended, or wait for ever.
func (x *explorer) checkEnd(w *world, actors []*actor) string {
	for _, a := range actors {
		if a.want != nil {
			return x.tell("a process waits for ever")
		}
	}
	right := w.loaded && w.header == w.version
	switch marked := w.mark || w.looking || w.loadingNote; {
	case !marked && !right:
		return x.tell("the header is stale, or nothing loaded, and nothing tells of it")
	case w.kills == 0 && marked:
		return x.tell("a mark is left although nobody was killed")
	}
	// A restarted service, a timer, the next event: one undisturbed look.
	rescue := explorer{scenario: scenario{wrap: x.wrap}}
	a := &actor{id: len(actors)}
	a.next, a.stop = iter.Pull(func(yield func(*request) bool) { a.yield = yield; rescue.handle(a) })
	for a.want, _ = a.next(); a.want != nil; {
		rescue.apply(w, []*actor{a}, choice{})
	}
	if !w.loaded || w.header != w.version || w.mark || w.looking || w.loadingNote {
		return x.tell("one more look did not mend it")
	}
	return ""
}

func (x *explorer) tell(bad string) string {
	return bad + ":\n  " + strings.Join(x.traces, "\n  ")
}

func stateKey(w *world, actors []*actor) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%v", *w)
	for _, a := range actors {
		fmt.Fprintf(&b, "|%v %v %s", a.want == nil, a.killed, a.history.String())
	}
	return b.String()
}
