package network

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"
)

// Bringer brings up what records describe. Each interface is brought up once, for all records that have it.
type Bringer struct {
	Kernel Maker
	// Root is the root directory, of which sys is read.
	Root fs.FS
	// Timeout bounds each step: until the interfaces are there and have a carrier, and until they have addresses.
	Timeout time.Duration
	// Say tells what is done; nil is nowhere.
	Say func(format string, args ...any)

	mu   sync.Mutex
	made []*madeLink
	dns  []netip.Addr // that DHCP servers have named
	// hosts are lines of hosts(5).
	hosts string
}

// ErrLink and ErrAddress say which step was not done in time.
var (
	ErrLink    = errors.New("no link")
	ErrAddress = errors.New("no address")
)

// Polling begins fast, since most devices are there within some milliseconds, and slows down.
const (
	firstPoll = 10 * time.Millisecond
	lastPoll  = 250 * time.Millisecond
	// morePorts is how long other ports of a bond are waited for when one is there.
	morePorts = 5 * time.Second
)

// madeLink is an interface that was brought up.
type madeLink struct {
	key   string
	index int
	name  string // in this kernel
	err   error  // why it could not be
	set   bool   // addresses were got
	addr  error
}

// there reports whether an interface was found, or made.
func (m *madeLink) there() bool { return m != nil && m.index != 0 }

func (b *Bringer) say(format string, args ...any) {
	if b.Say != nil {
		b.Say(format, args...)
	}
}

// Up brings up a record. What connects to its hosts by name finds their addresses: a [Dialer] in the record, other
// programs in /etc/hosts and /etc/resolv.conf, which it writes. touch is called while it waits.
func (b *Bringer) Up(ctx context.Context, r *Record, touch func()) error {
	if err := r.Validate(); err != nil {
		return err
	}
	// Another target's interfaces may be being brought up.
	if err := poll(ctx, touch, func() (bool, error) { return b.mu.TryLock(), nil }); err != nil {
		return err
	}
	defer b.mu.Unlock()
	links := make([]*madeLink, len(r.Links))
	step, done := within(ctx, b.Timeout)
	defer done()
	for i := range r.Links {
		m, err := b.link(step, r, i, links, touch)
		if err != nil {
			return fmt.Errorf("%s: %w", r.Links[i].Name, err)
		}
		links[i] = m
	}
	for i := range r.Links {
		if r.Links[i].carries() {
			if err := b.carrier(step, &r.Links[i], links[i], touch); err != nil {
				return err
			}
		}
	}
	step, done = within(ctx, b.Timeout)
	defer done()
	for i := range r.Links {
		if r.Links[i].carries() {
			if err := b.address(step, r, &r.Links[i], links[i], touch); err != nil {
				return fmt.Errorf("%s: %w", r.Links[i].Name, err)
			}
		}
	}
	b.resolv(r)
	return nil
}

// within bounds a step; 0 is no bound.
func within(ctx context.Context, limit time.Duration) (context.Context, context.CancelFunc) {
	if limit == 0 {
		return context.WithCancel(ctx)
	}
	return context.WithTimeoutCause(ctx, limit, fmt.Errorf("within %v", limit))
}

// carries reports whether a link has addresses itself.
func (l *Link) carries() bool { return len(l.Addresses) > 0 || l.DHCP || l.RA }

// key tells what a link is, whatever its addresses.
func (r *Record) key(n int) string {
	l := &r.Links[n]
	switch {
	case l.NIC != nil:
		return "nic " + l.NIC.MAC + " " + l.NIC.Path + fmt.Sprint(" ", l.NIC.Port)
	case l.VLAN != nil:
		return fmt.Sprintf("vlan %s %d of (%s)", l.VLAN.Protocol, l.VLAN.ID, r.key(l.VLAN.Of))
	}
	var keys []string
	for _, p := range l.Bond.Of {
		keys = append(keys, r.key(p))
	}
	slices.Sort(keys)
	return "bond of (" + strings.Join(keys, ", ") + ")"
}

// link finds or makes a link, and sets it up.
func (b *Bringer) link(ctx context.Context, r *Record, n int, below []*madeLink, touch func()) (*madeLink, error) {
	key := r.key(n)
	for _, m := range b.made {
		if m.key == key {
			return m, m.err
		}
	}
	l := &r.Links[n]
	m := &madeLink{key: key}
	switch {
	case l.NIC != nil:
		ports := r.portsWith(n)
		another := slices.ContainsFunc(ports, func(p int) bool { return below[p].there() })
		later := slices.ContainsFunc(ports, func(p int) bool { return p > n })
		if another {
			short, cancel := within(ctx, morePorts)
			defer cancel()
			ctx = short
		}
		m.err = b.find(ctx, l, m, touch)
		if m.err != nil && (another || later) {
			b.say("network: %s: %v; the bond goes without it", l.Name, m.err)
			return m, nil // not kept: another record may wait longer
		}
	case l.Bond != nil:
		m.err = b.bond(l, m, below)
	case l.VLAN != nil:
		m.err = b.vlan(l, m, below[l.VLAN.Of])
	}
	b.made = append(b.made, m)
	return m, m.err
}

// portsWith are the ports of the bond that a link is a port of; none if it is in no bond.
func (r *Record) portsWith(n int) []int {
	for i := range r.Links {
		if r.Links[i].bonds(n) {
			return r.Links[i].Bond.Of
		}
	}
	return nil
}

// find waits for hardware and brings it up, unless it is to be a port.
func (b *Bringer) find(ctx context.Context, l *Link, m *madeLink, touch func()) error {
	begin := time.Now()
	var found Interface
	err := poll(ctx, touch, func() (bool, error) {
		all, err := b.Kernel.Interfaces()
		if err != nil {
			return false, err
		}
		i, ok := l.NIC.among(all, b.Root)
		found = i
		return ok, nil
	})
	if err != nil {
		return fmt.Errorf("%w: no interface with the address %s appeared %w", ErrLink, orPath(l.NIC), err)
	}
	m.index, m.name = found.Index, found.Name
	b.say("network: %s is %s here (%s), after %v", l.Name, found.Name, orPath(l.NIC), time.Since(begin).Round(10*time.Millisecond))
	return b.setUp(l, m)
}

// bond makes a bond of the ports that are there.
func (b *Bringer) bond(l *Link, m *madeLink, below []*madeLink) error {
	if err := b.add(l, m, func(name string) error { return b.Kernel.AddBond(name, *l.Bond) }); err != nil {
		return err
	}
	if l.MAC != "" {
		if err := b.Kernel.SetMAC(m.index, l.MAC); err != nil {
			return err
		}
	}
	ports := 0
	var errs []error
	for _, n := range l.Bond.Of {
		if !below[n].there() {
			continue
		}
		err := b.Kernel.SetMaster(below[n].index, m.index)
		if err == nil {
			ports++
			continue
		}
		errs = append(errs, fmt.Errorf("port %s: %w", below[n].name, err))
	}
	if ports == 0 {
		return errors.Join(append(errs, fmt.Errorf("%w: none of the %d ports is there", ErrLink, len(l.Bond.Of)))...)
	}
	for _, err := range errs {
		b.say("network: %s: %v", m.name, err)
	}
	if m.name != l.Name {
		b.say("network: %s is called %s here", l.Name, m.name)
	}
	b.say("network: %s is a bond (%s) of %d ports", m.name, l.Bond.Mode, ports)
	if l.MTU != 0 {
		if err := b.Kernel.SetMTU(m.index, l.MTU); err != nil {
			return err
		}
	}
	return b.up(l, m)
}

func (b *Bringer) vlan(l *Link, m *madeLink, below *madeLink) error {
	if err := b.Kernel.SetUp(below.index); err != nil {
		return err
	}
	if err := b.add(l, m, func(name string) error { return b.Kernel.AddVLAN(name, below.index, *l.VLAN) }); err != nil {
		return err
	}
	b.say("network: %s is VLAN %d of %s", m.name, l.VLAN.ID, below.name)
	return b.setUp(l, m)
}

// add makes an interface, of another name if there is one of that name, and finds its index.
func (b *Bringer) add(l *Link, m *madeLink, make func(name string) error) error {
	m.name = l.Name
	err := make(m.name)
	for i := 0; errors.Is(err, fs.ErrExist) && i < maxLinks; i++ {
		m.name = fmt.Sprintf("gokexec%d", i)
		err = make(m.name)
	}
	if err != nil {
		return err
	}
	all, err := b.Kernel.Interfaces()
	if err != nil {
		return err
	}
	for _, i := range all {
		if i.Name == m.name {
			m.index = i.Index
			return nil
		}
	}
	return fmt.Errorf("%s was made and is not there", m.name)
}

// setUp sets address and MTU of a link, and brings it up.
func (b *Bringer) setUp(l *Link, m *madeLink) error {
	if l.MAC != "" {
		if err := b.Kernel.SetMAC(m.index, l.MAC); err != nil {
			return err
		}
	}
	if l.MTU != 0 {
		if err := b.Kernel.SetMTU(m.index, l.MTU); err != nil {
			b.say("network: %s: %v", m.name, err)
		}
	}
	if l.carries() || l.NIC == nil {
		return b.up(l, m)
	}
	return nil // what is built on it brings it up; a port must be down until it is one
}

// up brings a link up. IPv6 looks for no duplicates of an address that this machine had when it crashed, and asks
// for advertisements only where they count.
func (b *Bringer) up(l *Link, m *madeLink) error {
	conf := "/proc/sys/net/ipv6/conf/" + m.name + "/"
	accept := "0"
	if l.RA {
		accept = "1"
	}
	for _, s := range []struct{ name, value string }{{"accept_dad", "0"}, {"dad_transmits", "0"}, {"accept_ra", accept}} {
		err := b.Kernel.WriteFile(conf+s.name, s.value)
		if err != nil && l.RA {
			b.say("network: %s: %v", m.name, err)
		}
	}
	return b.Kernel.SetUp(m.index)
}

// poll calls ask until it says yes, or ctx ends. An error of ask ends it too.
func poll(ctx context.Context, touch func(), ask func() (bool, error)) error {
	for pause := firstPoll; ; pause = min(2*pause, lastPoll) {
		ok, err := ask()
		if ok || err != nil {
			return err
		}
		touch()
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(pause):
		}
	}
}
