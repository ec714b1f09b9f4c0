package network

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"slices"
	"strings"
)

// Resolver records how the running machine reaches hosts. It changes nothing.
type Resolver struct {
	Kernel Viewer
	// Root is the root directory, of which sys, etc and run are read.
	Root fs.FS
	// Lookup finds the addresses of a host. Default: [Dialer.Lookup] of the running system.
	Lookup func(ctx context.Context, host string) ([]netip.Addr, error)
}

// Resolved is a record, and what else it takes to use it.
type Resolved struct {
	Record *Record
	// NICs are the kernel names of the interfaces whose drivers are needed.
	NICs []string
	// Modules are what else is needed of the kernel, as modprobe(8) takes it, and Optional what may be.
	Modules, Optional []string
	// Notes say what was chosen, and Warnings what may go wrong, one line each.
	Notes, Warnings []string
}

// Refusal is why a host can't be reached from a capture kernel in the way that it is reached now.
type Refusal struct {
	What    string // with the name of the interface, and the reason
	Instead string // what to do
}

// Error is the reason.
func (r *Refusal) Error() string { return r.What }

func refuse(instead, format string, args ...any) error {
	return &Refusal{What: fmt.Sprintf(format, args...), Instead: instead}
}

// maxAddresses is how many addresses of a host are recorded.
const maxAddresses = 8

// Resolve finds out how the hosts are reached now. The error is a [Refusal] if a capture kernel can't reach
// them so; other errors say what could not be found out.
func (r *Resolver) Resolve(ctx context.Context, hosts []string) (*Resolved, error) {
	all, err := r.Kernel.Interfaces()
	if err != nil {
		return nil, err
	}
	b := &builder{Resolver: r, all: all, at: map[int]int{}, out: &Resolved{Record: &Record{Version: Version}}}
	for _, host := range hosts {
		if slices.ContainsFunc(b.out.Record.Hosts, func(h Host) bool { return h.Name == host }) {
			continue
		}
		if err := b.host(ctx, host); err != nil {
			return nil, fmt.Errorf("%s: %w", host, err)
		}
	}
	b.nameservers()
	b.modules()
	if err := b.out.Record.Validate(); err != nil {
		return nil, err
	}
	return b.out, nil
}

// Recorded is what it takes to use a record that was made before, for when the way can't be found now: which interfaces
// have the hardware now, and the modules.
func (r *Resolver) Recorded(record *Record) (*Resolved, error) {
	if err := record.Validate(); err != nil {
		return nil, err
	}
	all, err := r.Kernel.Interfaces()
	if err != nil {
		return nil, err
	}
	b := &builder{Resolver: r, all: all, at: map[int]int{}, out: &Resolved{Record: record}}
	for _, l := range record.Links {
		if l.NIC == nil {
			continue
		}
		i, ok := l.NIC.find(all, b.Root, b.permanent)
		if !ok {
			return nil, fmt.Errorf("%s (%s) is not there any more", l.Name, orPath(l.NIC))
		}
		b.out.NICs = append(b.out.NICs, i.Name)
	}
	b.modules()
	return b.out, nil
}

// builder makes a record.
type builder struct {
	*Resolver
	all []Interface
	at  map[int]int // of interfaces, by index: the links that stand for them
	out *Resolved
}

func (b *builder) note(format string, args ...any) {
	if line := fmt.Sprintf(format, args...); !slices.Contains(b.out.Notes, line) {
		b.out.Notes = append(b.out.Notes, line)
	}
}

func (b *builder) warn(format string, args ...any) {
	if line := fmt.Sprintf(format, args...); !slices.Contains(b.out.Warnings, line) {
		b.out.Warnings = append(b.out.Warnings, line)
	}
}

// host records the addresses of a host that the first of them is reached by the same interface as, and the way there.
func (b *builder) host(ctx context.Context, name string) error {
	lookup := b.Lookup
	if lookup == nil {
		lookup = new(Dialer).Lookup
	}
	addresses, err := lookup(ctx, name)
	if err != nil {
		return err
	}
	h := Host{Name: name}
	by := 0
	var errs []error
	for _, a := range addresses {
		hop, err := b.hop(a)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		if by != 0 && hop.Index != by || len(h.Addresses) == maxAddresses {
			continue
		}
		by = hop.Index
		if err := b.way(a, hop); err != nil {
			return err
		}
		h.Addresses = append(h.Addresses, a.WithZone(""))
	}
	if len(h.Addresses) == 0 {
		return errors.Join(append(errs, fmt.Errorf("%w: no route to any of its %d addresses", errUnreachable, len(addresses)))...)
	}
	if len(errs) > 0 {
		b.note("addresses of %s that there is no route to are left out", name)
	}
	b.out.Record.Hosts = append(b.out.Record.Hosts, h)
	return nil
}

var errUnreachable = errors.New("unreachable")

// hop is the first hop to an address of another machine.
func (b *builder) hop(a netip.Addr) (Hop, error) {
	hop, err := b.Kernel.Route(a)
	if err != nil {
		return hop, fmt.Errorf("route to %v: %w", a, err)
	}
	if hop.Local || a.IsLoopback() {
		return hop, refuse("name another machine; of this one name a disk or a directory", "%v is this machine itself, which is not there while its memory is saved", a)
	}
	return hop, nil
}

// way records the interface that a hop is by, with its address and the route.
func (b *builder) way(to netip.Addr, hop Hop) error {
	n, err := b.link(hop.Index, hop.next(to))
	if err != nil {
		return err
	}
	l := &b.out.Record.Links[n]
	known, err := b.Kernel.Addresses(hop.Index)
	if err != nil {
		return err
	}
	source, found := Address{}, false
	for _, a := range known {
		if a.Prefix.Addr() == hop.From.WithZone("") {
			source, found = a, true
		}
	}
	if !found {
		// The address of another interface, such as loopback's: it is given to this one.
		if source, err = b.elsewhere(hop); err != nil {
			return err
		}
	}
	switch from := source.Prefix.Addr(); {
	case from.Is4() && found && (source.Dynamic || b.leased(hop.Index, from)):
		l.DHCP = true
		b.note("%s leased its address %v: the capture kernel asks for one by DHCP", l.Name, from)
		return nil
	case source.Dynamic && from.Is6() && source.Prefix.Bits() < 128:
		l.RA = true
		b.note("%s has its address %v of a router advertisement: the capture kernel waits for one", l.Name, from)
		return nil
	case source.Dynamic && from.Is6():
		b.note("%s leased its address %v by DHCPv6: the capture kernel uses it as it is", l.Name, from)
	}
	if !slices.Contains(l.Addresses, source.Prefix) {
		l.Addresses = append(l.Addresses, source.Prefix)
	}
	b.route(l, to, hop, source.Prefix)
	return nil
}

// leased reports whether a program or the kernel has leased an address that has no lifetime: systemd-networkd(8) keeps
// its leases, and the kernel tells of its own (Documentation/admin-guide/nfs/nfsroot.rst, /proc/net/pnp).
func (b *builder) leased(index int, a netip.Addr) bool {
	lease := b.attribute(fmt.Sprintf("run/systemd/netif/leases/%d", index))
	if strings.Contains("\n"+lease+"\n", "\nADDRESS="+a.String()+"\n") {
		return true
	}
	return strings.HasPrefix(b.attribute("proc/net/pnp"), "#PROTO: DHCP")
}

// next is the address whose hardware address is asked for.
func (h Hop) next(to netip.Addr) netip.Addr {
	if h.Via.IsValid() {
		return h.Via
	}
	return to
}

// elsewhere finds the source address of a hop on another interface.
func (b *builder) elsewhere(hop Hop) (Address, error) {
	for _, i := range b.all {
		known, err := b.Kernel.Addresses(i.Index)
		if err != nil {
			return Address{}, err
		}
		for _, a := range known {
			if a.Prefix.Addr() == hop.From.WithZone("") && a.Prefix.IsValid() {
				return a, nil
			}
		}
	}
	return Address{}, fmt.Errorf("source address %v of the route is on no interface", hop.From)
}

// route records what leads to an address over a link, and the gateway as that of everything else if the link has none.
func (b *builder) route(l *Link, to netip.Addr, hop Hop, source netip.Prefix) {
	to = to.WithZone("")
	add := func(r Route) {
		if !slices.ContainsFunc(l.Routes, func(o Route) bool { return o.To == r.To }) {
			l.Routes = append(l.Routes, r)
		}
	}
	onLink := func(a netip.Addr) bool {
		return a.IsLinkLocalUnicast() && a.Is6() || slices.ContainsFunc(l.Addresses, func(p netip.Prefix) bool { return p.Contains(a) })
	}
	r := Route{To: netip.PrefixFrom(to, to.BitLen()), From: source.Addr()}
	if !hop.Via.IsValid() {
		if !onLink(to) {
			add(r)
		}
		return
	}
	r.Via = hop.Via.WithZone("")
	r.OnLink = !onLink(r.Via)
	add(r)
	everything := netip.PrefixFrom(netip.IPv6Unspecified(), 0)
	if to.Is4() {
		everything = netip.PrefixFrom(netip.IPv4Unspecified(), 0)
	}
	r.To = everything
	add(r)
}

// modules names what the kernel needs for the links.
func (b *builder) modules() {
	need := func(list *[]string, name string) {
		if !slices.Contains(*list, name) {
			*list = append(*list, name)
		}
	}
	for _, l := range b.out.Record.Links {
		switch {
		case l.Bond != nil:
			need(&b.out.Modules, "bonding")
		case l.VLAN != nil:
			need(&b.out.Modules, "8021q")
		}
		if l.DHCP {
			need(&b.out.Optional, "af_packet")
		}
		if l.RA || slices.ContainsFunc(l.Addresses, func(p netip.Prefix) bool { return p.Addr().Is6() }) {
			need(&b.out.Optional, "ipv6")
		}
	}
}
