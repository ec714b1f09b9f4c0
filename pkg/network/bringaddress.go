package network

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"
)

// carrier waits until the link layer works.
func (b *Bringer) carrier(ctx context.Context, l *Link, m *madeLink, touch func()) error {
	begin := time.Now()
	err := poll(ctx, touch, func() (bool, error) {
		all, err := b.Kernel.Interfaces()
		if err != nil {
			return false, err
		}
		for _, i := range all {
			if i.Index == m.index {
				return i.Carrier, nil
			}
		}
		return false, fmt.Errorf("%s is gone", m.name)
	})
	if err != nil {
		return fmt.Errorf("%s: %w: no carrier %w (is the cable in, and the switch port up?)", l.Name, ErrLink, err)
	}
	b.say("network: %s has a carrier, after %v", m.name, time.Since(begin).Round(10*time.Millisecond))
	return nil
}

// address gives a link its addresses, and its routes.
func (b *Bringer) address(ctx context.Context, r *Record, l *Link, m *madeLink, touch func()) error {
	for _, a := range l.Addresses {
		if err := b.Kernel.AddAddress(m.index, a); err != nil {
			return fmt.Errorf("%w: %v: %w", ErrAddress, a, err)
		}
		b.say("network: %s has the address %v", m.name, a)
	}
	if !m.set {
		m.addr = b.dynamic(ctx, r, l, m, touch)
		m.set = true
	}
	if m.addr != nil {
		if len(l.Addresses) == 0 {
			return m.addr
		}
		b.say("network: %s: %v", m.name, m.addr)
	}
	for _, route := range sorted(l.Routes) {
		if err := b.Kernel.AddRoute(m.index, route); err != nil {
			return fmt.Errorf("route to %v: %w", route.To, err)
		}
	}
	return nil
}

// sorted has routes to what is on the link before those by gateways.
func sorted(routes []Route) []Route {
	routes = slices.Clone(routes)
	slices.SortStableFunc(routes, func(a, b Route) int {
		return boolInt(a.Via.IsValid()) - boolInt(b.Via.IsValid())
	})
	return routes
}

func boolInt(b bool) int {
	if b {
		return 1
	}
	return 0
}

// dynamic gets the addresses that others give. Of two families one is enough.
func (b *Bringer) dynamic(ctx context.Context, r *Record, l *Link, m *madeLink, touch func()) error {
	var errs []error
	got := false
	if l.DHCP {
		if err := b.lease(ctx, m, touch); err != nil {
			errs = append(errs, err)
		} else {
			got = true
		}
	}
	if l.RA {
		if err := b.advertised(ctx, r, m, touch); err != nil {
			errs = append(errs, err)
		} else {
			got = true
		}
	}
	if got && len(errs) > 0 {
		b.say("network: %s: %v", m.name, errors.Join(errs...))
		return nil
	}
	return errors.Join(errs...)
}

// lease asks for an address by DHCP.
func (b *Bringer) lease(ctx context.Context, m *madeLink, touch func()) error {
	begin := time.Now()
	stop := make(chan struct{})
	var alive sync.WaitGroup
	alive.Go(func() {
		for {
			select {
			case <-stop:
				return
			case <-time.After(lastPoll):
				touch()
			}
		}
	})
	defer alive.Wait()
	defer close(stop)
	lease, err := b.Kernel.Lease(ctx, m.name)
	if err != nil {
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		return fmt.Errorf("%w: no DHCP server has given one %w", ErrAddress, err)
	}
	if lease.MTU >= 576 && lease.MTU < driverMTU {
		if err := b.Kernel.SetMTU(m.index, lease.MTU); err != nil {
			b.say("network: %s: %v", m.name, err)
		}
	}
	if err := b.Kernel.AddAddress(m.index, lease.Address); err != nil {
		return fmt.Errorf("%w: %v: %w", ErrAddress, lease.Address, err)
	}
	for _, route := range sorted(lease.Routes) {
		if err := b.Kernel.AddRoute(m.index, route); err != nil {
			b.say("network: %s: route to %v: %v", m.name, route.To, err)
		}
	}
	b.dns = append(b.dns, lease.Nameservers...)
	b.say("network: %s has the address %v by DHCP from %v, after %v", m.name, lease.Address, lease.Server, time.Since(begin).Round(10*time.Millisecond))
	return nil
}

// advertised waits until an advertisement has given an address, and a way to the hosts.
func (b *Bringer) advertised(ctx context.Context, r *Record, m *madeLink, touch func()) error {
	begin := time.Now()
	var got netip.Prefix
	err := poll(ctx, touch, func() (bool, error) {
		all, err := b.Kernel.Addresses(m.index)
		if err != nil {
			return false, err
		}
		for _, a := range all {
			if a.Prefix.Addr().Is6() && !a.Prefix.Addr().IsLinkLocalUnicast() && a.Usable {
				got = a.Prefix
				return b.leads(r), nil
			}
		}
		return false, nil
	})
	switch {
	case err == nil:
		b.say("network: %s has the address %v by router advertisement, after %v", m.name, got, time.Since(begin).Round(10*time.Millisecond))
	case got.IsValid():
		return fmt.Errorf("%w: no router has announced a way to the host %w", ErrAddress, err)
	default:
		return fmt.Errorf("%w: no router advertisement has given one %w", ErrAddress, err)
	}
	return nil
}

// leads reports whether there is a route to a host that has an address of IPv6.
func (b *Bringer) leads(r *Record) bool {
	any := false
	for _, h := range r.Hosts {
		for _, a := range h.Addresses {
			if a.Is6() {
				any = true
				if _, err := b.Kernel.Route(a); err == nil {
					return true
				}
			}
		}
	}
	return !any
}

// resolvPath and hostsPath are where resolvers look (resolv.conf(5), hosts(5)).
const (
	resolvPath = "/etc/resolv.conf"
	hostsPath  = "/etc/hosts"
)

// resolv writes what other programs find hosts by.
func (b *Bringer) resolv(r *Record) {
	for _, h := range r.Hosts {
		if _, err := netip.ParseAddr(h.Name); err == nil {
			continue
		}
		for _, a := range h.Addresses {
			if line := fmt.Sprintf("%v %s\n", a, h.Name); !strings.Contains(b.hosts, line) {
				b.hosts += line
			}
		}
	}
	if b.hosts != "" {
		if err := b.Kernel.WriteFile(hostsPath, "127.0.0.1 localhost\n::1 localhost\n"+b.hosts); err != nil {
			b.say("network: %v", err)
		}
	}
	b.nameservers(r)
}

// nameservers writes resolv.conf(5) for what asks a name server.
func (b *Bringer) nameservers(r *Record) {
	servers := slices.Concat(b.dns, r.Nameservers)
	if len(servers) == 0 {
		return
	}
	var text strings.Builder
	for _, a := range servers[:min(len(servers), maxServers)] {
		fmt.Fprintf(&text, "nameserver %v\n", a)
	}
	if len(r.Search) > 0 {
		fmt.Fprintf(&text, "search %s\n", strings.Join(r.Search, " "))
	}
	text.WriteString("options timeout:3 attempts:2\n")
	if err := b.Kernel.WriteFile(resolvPath, text.String()); err != nil {
		b.say("network: %v", err)
	}
}
