package capture

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/gokexec/gokexec/pkg/network"
)

// FenceKdump tells the nodes of a cluster (Pacemaker, oVirt) that this machine saves a dump and must not be fenced:
// fence_kdump(8) waits for that.
type FenceKdump struct {
	// Nodes are HOST or HOST:PORT; an address of IPv6 with a port is in brackets.
	Nodes []string `json:"nodes,omitempty"`
	// IntervalSeconds is the time from one message to the next. Default: 10.
	IntervalSeconds int `json:"interval_seconds,omitempty"`
	// Network is how the nodes are reached; without it the network is taken as it is.
	Network *network.Record `json:"network,omitempty"`
}

// Defaults of fence_kdump (fence-agents, agents/kdump/options.h).
const (
	fencePort            = "7410"
	DefaultFenceInterval = 10 * time.Second
)

// maxFenceNodes bounds FenceKdump.Nodes: a cluster of corosync has 16 nodes, and some more are tried.
const maxFenceNodes = 128

// fenceMessage is what a node waits for: a magic number and a version, in the byte order of the machine (fence-agents,
// agents/kdump/message.h).
func fenceMessage() []byte {
	b := binary.NativeEndian.AppendUint32(nil, 0x1B302A40)
	return binary.NativeEndian.AppendUint32(b, 1)
}

// fenceAddress parts a node into host and port.
func fenceAddress(node string) (host, port string, err error) {
	host, port = node, fencePort
	if h, p, err := net.SplitHostPort(node); err == nil && (strings.Count(node, ":") == 1 || node[0] == '[') {
		host, port = h, p
	}
	host = strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
		return "", "", fmt.Errorf("node %q: port %q; want 1 to 65535", node, port)
	}
	if err := validHost(host); err != nil {
		return "", "", fmt.Errorf("node %q: %w", node, err)
	}
	return host, port, nil
}

// Hosts are those of the nodes, without ports.
func (f *FenceKdump) Hosts() []string {
	var hosts []string
	for _, node := range f.Nodes {
		if host, _, err := fenceAddress(node); err == nil {
			hosts = append(hosts, host)
		}
	}
	return hosts
}

func (f *FenceKdump) none() bool { return len(f.Nodes) == 0 }

func (f *FenceKdump) interval() time.Duration {
	if f.IntervalSeconds == 0 {
		return DefaultFenceInterval
	}
	return time.Duration(f.IntervalSeconds) * time.Second
}

func (f *FenceKdump) validate() error {
	if len(f.Nodes) > maxFenceNodes {
		return fmt.Errorf("fence_kdump: %d nodes; want at most %d", len(f.Nodes), maxFenceNodes)
	}
	for _, node := range f.Nodes {
		if _, _, err := fenceAddress(node); err != nil {
			return fmt.Errorf("fence_kdump: %w", err)
		}
	}
	if f.IntervalSeconds < 0 || f.IntervalSeconds > maxSeconds {
		return fmt.Errorf("fence_kdump: interval_seconds is %d; want 0 to %d", f.IntervalSeconds, maxSeconds)
	}
	if f.Network != nil {
		return f.Network.Validate()
	}
	return nil
}

// startFence brings up the way to the nodes, and tells them every now and then that a dump is being saved, until the
// returned function is called. It holds up nothing.
func (r *run) startFence(ctx context.Context) (stop func()) {
	f := &r.cfg.FenceKdump
	if f.none() {
		return func() {}
	}
	ctx, cancel := context.WithCancel(ctx)
	go func() {
		if f.Network != nil {
			b, err := r.bringer()
			if err == nil {
				err = b.Up(ctx, f.Network, func() {})
			}
			if err != nil {
				r.say("fence_kdump: %v", err)
				return
			}
		}
		r.fence(ctx)
	}()
	return cancel
}

// fence sends until ctx ends. Only what changes is told.
func (r *run) fence(ctx context.Context) {
	f := &r.cfg.FenceKdump
	dialer := &network.Dialer{Record: f.Network, Timeout: f.interval()}
	ticker := time.NewTicker(f.interval())
	defer ticker.Stop()
	told := ""
	for {
		var errs []error
		for _, node := range f.Nodes {
			if err := sendFence(ctx, dialer, node); err != nil {
				errs = append(errs, err)
			}
		}
		now := fmt.Sprintf("fence_kdump: %d of %d nodes are told every %v that a dump is being saved", len(f.Nodes)-len(errs), len(f.Nodes), f.interval())
		if err := errors.Join(errs...); err != nil {
			now += ": " + strings.ReplaceAll(err.Error(), "\n", "; ")
		}
		if now != told && ctx.Err() == nil {
			r.say("%s", now)
			told = now
		}
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

// sendFence sends one message. A node that nothing listens on says so at the next one, which is no error here.
func sendFence(ctx context.Context, d *network.Dialer, node string) error {
	host, port, err := fenceAddress(node)
	if err != nil {
		return err
	}
	conn, err := d.DialContext(ctx, "udp", net.JoinHostPort(host, port))
	if err != nil {
		return err
	}
	_, err = conn.Write(fenceMessage())
	return errors.Join(err, conn.Close())
}
