package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/gokexec/gokexec/pkg/advice"
	"github.com/gokexec/gokexec/pkg/config"
	"github.com/gokexec/gokexec/pkg/plan"
	"github.com/gokexec/gokexec/pkg/record"
	"github.com/gokexec/gokexec/pkg/storage"
)

// armedTimeout bounds how long status examines the disks of the targets.
const armedTimeout = 3 * time.Second

// armed is what status tells of a crash kernel that gokexec arm has loaded.
type armed struct {
	Kernel string `json:"kernel"`
	recipe
	// Changed says what has changed since, so that gokexec arm would arm otherwise now. Null: of a collected
	// tree, where it can't be told.
	Changed []string `json:"changed_since"`
}

// recipeOf is what a recorded load was armed from; nil if it was made by gokexec load.
func recipeOf(state *record.State) *recipe {
	if state == nil || len(state.Asked.Recipe) == 0 {
		return nil
	}
	var made recipe
	if json.Unmarshal(state.Asked.Recipe, &made) != nil {
		return nil
	}
	return &made
}

// armedOf tells what a recorded load has armed. here: on this machine, so that changes can be told.
func (e *env) armedOf(state *record.State, here bool) *armed {
	made := recipeOf(state)
	if made == nil {
		return nil
	}
	a := &armed{Kernel: state.Asked.Kernel.Path, recipe: *made}
	if here {
		a.Changed = e.changedSince(state, made)
	}
	return a
}

// changedSince compares what is armed with what would be armed now, as far as that can be seen without building it
// and without a lock.
func (e *env) changedSince(state *record.State, made *recipe) []string {
	changed := []string{}
	root := os.DirFS(e.sysroot)
	c, err := readConfig(root)
	switch {
	case errors.Is(err, fs.ErrPermission):
	case err != nil:
		changed = append(changed, "the configuration, which is wrong now: "+oneLine(err.Error()))
	default:
		if !slices.EqualFunc(c.settings, made.Settings, sameSetting) {
			changed = append(changed, "the configuration")
		}
		changed = append(changed, e.changedTargets(c, made)...)
	}
	in, err := plan.Open(&plan.Spec{Kernel: plan.FromFile(state.Asked.Kernel.Path)})
	switch {
	case errors.Is(err, fs.ErrNotExist):
		changed = append(changed, "the kernel: "+state.Asked.Kernel.Path+" is gone, and can't be loaded again")
	case err == nil:
		if !state.Asked.Kernel.Same(in.Spec.Kernel) {
			changed = append(changed, "the kernel: "+state.Asked.Kernel.Path+" is another file now")
		}
		err = in.Close()
	}
	_ = err // what can't be read has not been seen to change
	return changed
}

func sameSetting(a, b config.Setting) bool {
	return a.Section == b.Section && a.Key == b.Key && a.Value == b.Value
}

// changedTargets examines where the targets are now. Only root can.
func (e *env) changedTargets(c *configured, made *recipe) []string {
	targets, err := c.parsedTargets()
	if err != nil {
		return nil // the configuration has changed
	}
	ctx, cancel := context.WithTimeout(context.Background(), armedTimeout)
	defer cancel()
	machine := e.storage()
	var now []string
	var resolved []*storage.Resolved
	for _, t := range targets {
		r, err := machine.Resolve(ctx, t)
		if known := made.Networks[t.String()]; err != nil && known != nil && !refused(err) {
			t.Network = known // the network may be down at this moment
			r, err = &storage.Resolved{Target: t}, nil
		}
		if err != nil && slices.Contains(made.LeftOut, t.String()) && !refused(err) {
			continue // as it was when the machine was armed
		}
		switch {
		case errors.Is(err, fs.ErrPermission) || errors.Is(err, context.DeadlineExceeded):
			return nil
		case err != nil:
			return []string{"the targets: " + oneLine(err.Error())}
		}
		now, resolved = append(now, r.Target.String()), append(resolved, r)
	}
	if !slices.Equal(now, made.Targets) {
		return []string{"the targets: " + strings.Join(now, ", then ")}
	}
	if stacks := targetStacks(resolved); !slices.Equal(stacks, made.Stacks) {
		for i, t := range resolved {
			if t.Target.Remote() && len(made.Stacks) == len(stacks) && made.Stacks[i] != stacks[i] {
				return []string{"the way to " + t.Target.String()}
			}
		}
		return []string{"the volumes, arrays or disks that the targets lie on"}
	}
	return nil
}

func (a *armed) print(w io.Writer) {
	fmt.Fprintf(w, "armed:         for kernel %s (%s); dumps go to %s\n", a.Release, a.How, strings.Join(a.Targets, ", then "))
	if len(a.Files) > 0 {
		fmt.Fprintf(w, "               configured by %s\n", strings.Join(a.Files, ", "))
	}
	for _, what := range a.Changed {
		fmt.Fprintf(w, "               changed since: %s\n", what)
	}
	if len(a.Changed) > 0 {
		fmt.Fprintln(w, "               gokexec arm takes up what has changed")
	}
}

// finding is the same as the outcome of a check.
func (a *armed) finding() advice.Finding {
	f := advice.Finding{Check: "armed", Detail: fmt.Sprintf("for kernel %s; dumps go to %s", a.Release, strings.Join(a.Targets, ", then "))}
	if len(a.Changed) > 0 {
		f.Level, f.Remedy = advice.Warning, "gokexec arm takes up what has changed"
		f.Detail += "; changed since: " + strings.Join(a.Changed, "; ")
	}
	return f
}
