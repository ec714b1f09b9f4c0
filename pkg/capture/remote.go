package capture

import (
	"context"
	"errors"
	"time"

	"github.com/gokexec/gokexec/pkg/network"
)

// remoteKind is what a kind of target has that is reached over the network.
type remoteKind struct {
	// hosts are what a target connects to: names or addresses, without ports. The first is what messages name.
	hosts func(Target) []string
	// modules are what such a target needs of the kernel, apart from the network itself, as modprobe(8) takes it:
	// those without which it can't be there, and those to try. nil: nothing.
	modules func(Target) (required, optional []string)
	// try finds out on the running system whether a dump could be saved: it writes, reads back and removes something
	// small, where the dumps are to be.
	try func(context.Context, *opening) error
}

// Remote reports whether t is reached over the network.
func (t Target) Remote() bool { return t.Place() == OverNetwork }

// Hosts are what the capture kernel connects to for t, names or addresses; none if t is not reached over the network.
func (t Target) Hosts() []string {
	k, err := t.kind()
	if err != nil || k.remote == nil {
		return nil
	}
	return k.remote.hosts(t)
}

// RemoteModules are the kernel modules, as modprobe(8) takes them, that t needs apart from those of the network: those
// without which it can't be there, and those to try.
func (t Target) RemoteModules() (required, optional []string) {
	k, err := t.kind()
	if err != nil || k.remote == nil || k.remote.modules == nil {
		return nil, nil
	}
	return k.remote.modules(t)
}

// network brings up what the target's record describes, once for all targets of a run, and returns how to connect to
// the target's hosts. Connections are bounded: an attempt, and any later wait for the peer, ends after the configured
// time. Without a record the network of the running system is taken as it is.
func (o *opening) network(context.Context) (*network.Dialer, error) {
	if o.target.Network == nil {
		return &network.Dialer{Timeout: o.cfg.networkTimeout()}, nil
	}
	return nil, errors.New("this gokexec can't bring up a network")
}

func (c Config) networkTimeout() time.Duration {
	return time.Duration(c.withDefaults().NetworkTimeoutSeconds) * time.Second
}
