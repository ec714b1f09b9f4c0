package network

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sync/atomic"
	"time"
)

// Dialer connects to hosts. Its zero value takes names and routes from the running system, and bounds nothing.
type Dialer struct {
	// Record has the addresses of hosts; nil for none. A host that is not in it, or whose addresses do not
	// answer, is looked up with Resolver.
	Record *Record
	// Resolver looks up names; nil is the system's (/etc/resolv.conf).
	Resolver *net.Resolver
	// Timeout bounds each connection until it is there, and after that each wait for the peer to take or
	// send anything. 0 is no bound.
	Timeout time.Duration
	// Say tells of each connection; nil is nowhere.
	Say func(format string, args ...any)
}

// ErrSilent means that a host did not take or send anything for too long.
var ErrSilent = errors.New("no answer")

// recorded are the addresses that were recorded of a host.
func (d *Dialer) recorded(host string) []netip.Addr {
	if d.Record == nil {
		return nil
	}
	for _, h := range d.Record.Hosts {
		if h.Name == host {
			return h.Addresses
		}
	}
	return nil
}

// Addresses are those of a host: the recorded ones; without any, what the host is as an address, or what a name server
// says. There is at least one without an error.
func (d *Dialer) Addresses(ctx context.Context, host string) ([]netip.Addr, error) {
	if known := d.recorded(host); len(known) > 0 {
		return known, nil
	}
	return d.Lookup(ctx, host)
}

// Lookup asks a name server for the addresses of a host, whatever was recorded. A host that is an address is its own.
func (d *Dialer) Lookup(ctx context.Context, host string) ([]netip.Addr, error) {
	if a, err := netip.ParseAddr(host); err == nil {
		return []netip.Addr{a.Unmap()}, nil
	}
	ctx, cancel := d.bound(ctx)
	defer cancel()
	found, err := d.resolver().LookupNetIP(ctx, "ip", host)
	if err != nil {
		return nil, fmt.Errorf("address of %s: %w", host, err)
	}
	for i := range found {
		found[i] = found[i].Unmap()
	}
	return found, nil
}

func (d *Dialer) resolver() *net.Resolver {
	if d.Resolver == nil {
		return net.DefaultResolver
	}
	return d.Resolver
}

func (d *Dialer) bound(ctx context.Context) (context.Context, context.CancelFunc) {
	if d.Timeout == 0 {
		return context.WithCancel(ctx)
	}
	return context.WithTimeoutCause(ctx, d.Timeout, fmt.Errorf("%w for %v", ErrSilent, d.Timeout))
}

// DialContext connects to HOST:PORT, as [net.Dialer.DialContext] does. The addresses of the host share the time that
// there is; the recorded ones come first, then those that a name server says.
func (d *Dialer) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	begin := time.Now()
	ctx, cancel := d.bound(ctx)
	defer cancel()
	known := d.recorded(host)
	conn, err := d.dialEach(ctx, network, port, known)
	if conn == nil {
		found, lookupErr := d.Lookup(ctx, host)
		if lookupErr != nil {
			if err == nil {
				err = lookupErr // else the name server was the last resort
			}
			return nil, fmt.Errorf("connect to %s: %w", address, err)
		}
		found = slices.DeleteFunc(found, func(a netip.Addr) bool { return slices.Contains(known, a) })
		var again error
		if conn, again = d.dialEach(ctx, network, port, found); conn == nil {
			return nil, fmt.Errorf("connect to %s: %w", address, errors.Join(err, again))
		}
	}
	if d.Say != nil {
		d.Say("network: connected to %s (%v), after %v", address, conn.RemoteAddr(), time.Since(begin).Round(10*time.Millisecond))
	}
	if d.Timeout == 0 {
		return conn, nil
	}
	return bounded(conn, d.Timeout), nil
}

// dialEach connects to the first address that takes it. None is no error.
func (d *Dialer) dialEach(ctx context.Context, network, port string, addresses []netip.Addr) (net.Conn, error) {
	var errs []error
	for i, a := range addresses {
		each, cancel := ctx, context.CancelFunc(func() {})
		if deadline, ok := ctx.Deadline(); ok && i < len(addresses)-1 {
			each, cancel = context.WithTimeout(ctx, time.Until(deadline)/time.Duration(len(addresses)-i))
		}
		var dialer net.Dialer
		conn, err := dialer.DialContext(each, network, net.JoinHostPort(a.String(), port))
		cancel()
		if err == nil {
			return conn, nil
		}
		errs = append(errs, err)
	}
	return nil, errors.Join(errs...)
}

// boundedConn gives up on a peer that neither takes nor sends anything for a time.
type boundedConn struct {
	net.Conn
	limit time.Duration
	alive atomic.Int64 // when something was taken or sent last, in ns
}

func bounded(conn net.Conn, limit time.Duration) net.Conn {
	c := &boundedConn{Conn: conn, limit: limit}
	c.touch()
	return c
}

func (c *boundedConn) touch() { c.alive.Store(time.Now().UnixNano()) }

// Read waits as long as the other direction is alive: an answer comes when all of a request is sent.
func (c *boundedConn) Read(p []byte) (int, error) {
	for deadline := time.Now().Add(c.limit); ; {
		if err := c.SetReadDeadline(deadline); err != nil {
			return 0, err
		}
		n, err := c.Conn.Read(p)
		if n > 0 {
			c.touch()
		}
		if next := time.Unix(0, c.alive.Load()).Add(c.limit); n == 0 && isTimeout(err) && next.After(deadline) {
			deadline = next
			continue
		}
		return n, c.explain(err)
	}
}

// maxWrite is how much is written under one deadline, in bytes: on a slow line a large write takes long, and is alive.
const maxWrite = 64 << 10

func (c *boundedConn) Write(p []byte) (int, error) {
	written := 0
	for first := true; first || len(p) > 0; first = false {
		part := p[:min(len(p), maxWrite)]
		if err := c.SetWriteDeadline(time.Now().Add(c.limit)); err != nil {
			return written, err
		}
		n, err := c.Conn.Write(part)
		if n > 0 {
			c.touch()
		}
		written, p = written+n, p[n:]
		if err != nil {
			return written, c.explain(err)
		}
	}
	return written, nil
}

func isTimeout(err error) bool {
	var late net.Error
	return errors.As(err, &late) && late.Timeout()
}

func (c *boundedConn) explain(err error) error {
	if isTimeout(err) {
		return fmt.Errorf("%v: %w for %v: %w", c.RemoteAddr(), ErrSilent, c.limit, err)
	}
	return err
}
