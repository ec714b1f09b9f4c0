package storage

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"github.com/gokexec/gokexec/internal/sysfs"
	"github.com/gokexec/gokexec/pkg/capture"
	"github.com/gokexec/gokexec/pkg/network"
)

// overNetwork records how the hosts of a target are reached. Nothing is sent to them but what a name server is asked.
func (m *Machine) overNetwork(ctx context.Context, t capture.Target) (*Resolved, error) {
	found, err := m.reach(ctx, t.Hosts())
	if err != nil {
		return nil, err
	}
	r := &Resolved{Target: WithMachine(m.sys.FS(), t)}
	r.Target.Network = found.Record
	r.network(found)
	return r, nil
}

// Reach records how hosts are reached that are no target.
func (m *Machine) Reach(ctx context.Context, hosts []string) (*network.Record, *Resolved, error) {
	found, err := m.reach(ctx, hosts)
	if err != nil {
		return nil, nil, err
	}
	r := &Resolved{}
	r.network(found)
	return found.Record, r, nil
}

func (m *Machine) reach(ctx context.Context, hosts []string) (*network.Resolved, error) {
	viewer, err := m.opt.Network()
	if err != nil {
		return nil, err
	}
	resolver := network.Resolver{Kernel: viewer, Root: m.sys.FS(), Lookup: m.opt.Lookup}
	found, err := resolver.Resolve(ctx, hosts)
	var refusal *network.Refusal
	if errors.As(err, &refusal) {
		return nil, &Refusal{What: err.Error(), Instead: refusal.Instead, err: err}
	}
	return found, err
}

// WithMachine is a target with the name of the machine at root, for the directory that has its dumps beside those of
// others. Not every kind of target has one.
func WithMachine(root fs.FS, t capture.Target) capture.Target {
	if t.Machine == "" {
		// A machine without a name, or with one that is no file's, has no directory of its own.
		if name, err := sysfs.ReadString(root, "proc/sys/kernel/hostname"); err == nil && name != "(none)" && fs.ValidPath(name) && !strings.Contains(name, "/") && name != "." {
			t.Machine = name
		}
	}
	return t.Own()
}

// network takes over what was found out of the network.
func (r *Resolved) network(found *network.Resolved) {
	r.Interfaces = found.NICs
	r.Notes, r.Warnings = append(r.Notes, found.Notes...), append(r.Warnings, found.Warnings...)
	required, optional := r.Target.RemoteModules()
	for _, name := range append(found.Modules, required...) {
		if !slices.Contains(r.Modules, name) {
			r.Modules = append(r.Modules, name)
		}
	}
	for _, name := range append(found.Optional, optional...) {
		if !slices.Contains(r.Optional, name) {
			r.Optional = append(r.Optional, name)
		}
	}
}

// Recorded is what it takes to use a record that was made before, for when the hosts can't be looked at now.
func (m *Machine) Recorded(r *network.Record) (*Resolved, error) {
	viewer, err := m.opt.Network()
	if err != nil {
		return nil, err
	}
	found, err := (&network.Resolver{Kernel: viewer, Root: m.sys.FS()}).Recorded(r)
	if err != nil {
		return nil, err
	}
	out := &Resolved{}
	out.network(found)
	return out, nil
}

// RecordedTarget is Recorded for a target.
func (m *Machine) RecordedTarget(t capture.Target, r *network.Record) (*Resolved, error) {
	out, err := m.Recorded(r)
	if err != nil {
		return nil, fmt.Errorf("target %s: %w", t, err)
	}
	out.Target = WithMachine(m.sys.FS(), t)
	out.Target.Network = r
	required, optional := out.Target.RemoteModules()
	out.Modules, out.Optional = append(out.Modules, required...), append(out.Optional, optional...)
	return out, nil
}
