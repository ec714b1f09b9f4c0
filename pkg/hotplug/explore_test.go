package hotplug

import (
	"fmt"
	"iter"
	"strings"
)

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
		x.traces = append(x.traces, fmt.Sprintf("%d killed before %s", a.id, a.todo.name))
		a.killed = true
		a.kill(w)
		return
	}
	result := a.todo.do(w)
	x.traces = append(x.traces, fmt.Sprintf("%d %s %s", a.id, a.todo.name, result))
	fmt.Fprintf(&a.history, "%s=%s;", a.todo.name, result)
	var more bool
	if a.todo, more = a.next(); !more {
		a.todo = nil
	}
}

func (x *explorer) choices(w *world, actors []*actor) []choice {
	var cs []choice
	for i, a := range actors {
		if a.todo != nil && (a.todo.enabled == nil || a.todo.enabled(w)) {
			cs = append(cs, choice{i, false})
		}
	}
	for i, a := range actors {
		if a.todo != nil && a.marked && w.kills < x.kills {
			cs = append(cs, choice{i, true})
		}
	}
	return cs
}

// invariant holds at every moment.
func invariant(w *world, actors []*actor) string {
	waiting := 0
	for _, a := range actors {
		if a.todo != nil && a.todo.name == "lockReload" && w.pending == a.id {
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
		if a.todo != nil {
			return x.tell("a process waits for ever")
		}
	}
	right := w.loaded && w.header == w.version || !w.loaded && (!w.owed || w.unseen)
	switch marked := w.mark || w.looking || w.waiting || w.loadingNote; {
	case !marked && !right:
		return x.tell("the header is stale, or nothing loaded, and nothing reports it")
	case w.kills == 0 && !right && !w.loaded && !w.problem:
		return x.tell("a crash kernel is wanted and none loaded, and no problem is noted")
	case w.kills == 0 && marked && !w.failed:
		return x.tell("a mark is left although nothing went wrong")
	}
	if !w.loaded && w.owed {
		// One more check that fails forgets nothing.
		w.failLate, w.silent = 1, 0
		if x.rescue(w, len(actors)); w.loaded || !w.wanted || !w.problem || !w.mark && !w.looking && !w.waiting {
			return x.tell("a crash kernel is wanted and none loaded, and a check that could not repair it has forgotten that")
		}
	}
	// A restarted service, a timer, the next event: one undisturbed check.
	unloaded := !w.loaded && !w.owed
	w.failLate, w.silent = 0, 0
	switch x.rescue(w, len(actors)+1); {
	case unloaded && w.loaded:
		return x.tell("one more check loads what was explicitly unloaded")
	case !unloaded && (!w.loaded || w.header != w.version), w.mark, w.looking, w.waiting, w.loadingNote, w.problem:
		return x.tell("one more check did not repair it")
	}
	return ""
}

// rescue is one undisturbed check, some time later.
func (x *explorer) rescue(w *world, id int) {
	alone := explorer{scenario: scenario{wrap: x.wrap}}
	a := &actor{id: id}
	a.next, a.stop = iter.Pull(func(yield func(*request) bool) { a.yield = yield; alone.handle(a) })
	for a.todo, _ = a.next(); a.todo != nil; {
		alone.apply(w, []*actor{a}, choice{})
	}
	x.traces = append(x.traces, alone.traces...)
}

func (x *explorer) tell(bad string) string {
	return bad + ":\n  " + strings.Join(x.traces, "\n  ")
}

func stateKey(w *world, actors []*actor) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%v", *w)
	for _, a := range actors {
		fmt.Fprintf(&b, "|%v %v %s", a.todo == nil, a.killed, a.history.String())
	}
	return b.String()
}
