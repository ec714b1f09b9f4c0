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
	return reached(WithMachine(m.sys.FS(), t), found), nil
}

// Reach records how hosts are reached that are no target. Of the target that it returns there is only the network.
func (m *Machine) Reach(ctx context.Context, hosts []string) (*Resolved, error) {
	found, err := m.reach(ctx, hosts)
	if err != nil {
		return nil, err
	}
	return reached(capture.Target{}, found), nil
}

// reached is a target over the network, and what it takes to use it.
func reached(t capture.Target, found *network.Resolved) *Resolved {
	required, optional := t.RemoteModules()
	t.Network = found.Record
	return &Resolved{
		Target: t, Interfaces: found.NICs, Notes: found.Notes, Warnings: found.Warnings,
		Modules: slices.Concat(found.Modules, required), Optional: slices.Concat(found.Optional, optional),
	}
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

// Recorded is Reach by a record that was made before, for when the hosts can't be looked at now.
func (m *Machine) Recorded(r *network.Record) (*Resolved, error) {
	found, err := m.recorded(r)
	if err != nil {
		return nil, err
	}
	return reached(capture.Target{}, found), nil
}

// RecordedTarget is Recorded for a target.
func (m *Machine) RecordedTarget(t capture.Target, r *network.Record) (*Resolved, error) {
	found, err := m.recorded(r)
	if err != nil {
		return nil, fmt.Errorf("target %s: %w", t, err)
	}
	return reached(WithMachine(m.sys.FS(), t), found), nil
}

func (m *Machine) recorded(r *network.Record) (*network.Resolved, error) {
	viewer, err := m.opt.Network()
	if err != nil {
		return nil, err
	}
	return (&network.Resolver{Kernel: viewer, Root: m.sys.FS()}).Recorded(r)
}
