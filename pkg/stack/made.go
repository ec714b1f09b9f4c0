package stack

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

// made is a map or an array that an Assembler has made. Its fields that change are the Assembler's lock's.
type made struct {
	key    string // its UUID
	digest string
	state  madeState
	users  int

	// Set before it is ready, by who makes it.
	number Number
	mapped string // the map's name
	array  string // the array's name in sysfs
}

type madeState int

const (
	inWork madeState = iota // being made or removed
	ready
	broken // neither made nor removed
)

// acquire returns what has a key; ours if it is new, and to be made. Every use is to be released.
func (a *Assembler) acquire(key string, digest string) (e *made, ours bool, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	i := slices.IndexFunc(a.made, func(e *made) bool { return e.key == key })
	if i < 0 {
		e = &made{key: key, digest: digest, users: 1}
		a.made = append(a.made, e)
		return e, true, nil
	}
	switch e = a.made[i]; {
	case e.state != ready:
		return nil, false, errors.New("it was left half made, or is being made, for another target")
	case e.digest != digest:
		return nil, false, errors.New("it was made for another target, of other devices or with another table")
	}
	e.users++
	return e, false, nil
}

// ready says that something is made, so that others may use it.
func (a *Assembler) ready(e *made) {
	a.mu.Lock()
	defer a.mu.Unlock()
	e.state = ready
}

// forget drops what was not made, or is removed.
func (a *Assembler) forget(e *made) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.made = slices.DeleteFunc(a.made, func(o *made) bool { return o == e })
}

// takeDown removes what an assembly has made and no other uses, the last first.
func (r *assembly) takeDown() error {
	var failed []error
	wait := busyTime
	for _, e := range slices.Backward(r.made) {
		r.o.Touch()
		if err := r.release(e, &wait); err != nil {
			failed = append(failed, err)
		}
	}
	r.made = nil
	return errors.Join(failed...)
}

// release ends a use. What can't be removed stays: if it was complete, another stack may use it.
func (a *Assembler) release(e *made, wait *time.Duration) error {
	a.mu.Lock()
	before := e.state
	if e.users--; e.users > 0 {
		a.mu.Unlock()
		return nil
	}
	e.state = inWork
	a.mu.Unlock()
	err := a.remove(e, wait)
	if err == nil {
		a.forget(e)
		return nil
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if e.state = before; before != ready {
		e.state = broken
	}
	return err
}

// busyTime is how long the removals of a stack wait, together, for what the kernel still has open: what was unmounted
// is closed a moment later.
const busyTime = time.Second

// remove removes a map or an array.
func (a *Assembler) remove(e *made, wait *time.Duration) error {
	once := func() error { return a.sys.Remove(e.mapped) }
	what := "remove the map " + e.mapped
	if e.array != "" {
		once = func() error { return a.sys.Write("/sys/block/"+e.array+"/md/array_state", "clear") }
		what = "stop the array " + e.array
	}
	for pause := firstPoll; ; pause *= 2 {
		err := once()
		switch {
		case err == nil, errors.Is(err, unix.ENXIO), errors.Is(err, fs.ErrNotExist):
			return nil // it may be gone already
		case !errors.Is(err, unix.EBUSY) || *wait <= 0:
			return fmt.Errorf("%s (%v): %w", what, e.number, err)
		}
		time.Sleep(min(pause, *wait))
		*wait -= pause
	}
}
