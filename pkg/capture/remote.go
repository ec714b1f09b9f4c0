package capture

import (
	"context"
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
func (o *opening) network(ctx context.Context) (*network.Dialer, error) {
	d := &network.Dialer{Record: o.target.Network, Timeout: o.cfg.networkTimeout(), Say: o.say}
	if d.Record == nil {
		return d, nil
	}
	b, err := o.links()
	if err != nil {
		return nil, err
	}
	if err := b.Up(ctx, d.Record, o.touch); err != nil {
		return nil, err
	}
	return d, nil
}

// bringer is that of the run: targets may share interfaces.
func (r *run) bringer() (*network.Bringer, error) {
	r.connect.Do(func() {
		kernel, err := r.sys.Network()
		r.linkErr = err
		r.links = &network.Bringer{Kernel: kernel, Root: r.sys.FS(), Timeout: r.cfg.networkTimeout(), Say: r.say}
	})
	return r.links, r.linkErr
}

func (c Config) networkTimeout() time.Duration {
	return time.Duration(c.withDefaults().NetworkTimeoutSeconds) * time.Second
}

// stallTimeoutOf is how long a target may go without progress. Over the network that is what bounds each wait for the
// host, and a little more: what waits should say so itself.
func (c Config) stallTimeoutOf(t Target) time.Duration {
	if !t.Remote() {
		return c.stallTimeout()
	}
	return min(c.stallTimeout(), c.networkTimeout()+remoteGrace)
}

// remoteGrace is what a target over the network has in addition to the time for each wait.
const remoteGrace = 5 * time.Second
