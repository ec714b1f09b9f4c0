package network

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// Version is that of the format. A reader refuses others.
const Version = 1

// Record is what a capture kernel needs to reach hosts. docs/formats.md describes its JSON.
type Record struct {
	Version int `json:"version"`
	// Hosts are what is to be reached.
	Hosts []Host `json:"hosts"`
	// Links are the interfaces, in the order in which they are made: each is built on earlier ones only. References are
	// indices of this list.
	Links []Link `json:"links"`
	// Nameservers and Search are those of resolv.conf(5), for a host whose recorded addresses do not answer.
	Nameservers []netip.Addr `json:"nameservers,omitempty"`
	Search      []string     `json:"search,omitempty"`
}

// Host is a host and its addresses when it was recorded, the first to be tried first.
type Host struct {
	Name      string       `json:"name"` // as the target has it: a name or an address
	Addresses []netip.Addr `json:"addresses"`
}

// Link is a network interface. It has one of NIC, Bond and VLAN.
type Link struct {
	// Name is the kernel's, on the machine where it was recorded: eth0, bond0. It is for people: in the capture kernel
	// hardware has other names.
	Name string `json:"name"`
	NIC  *NIC   `json:"nic,omitempty"`
	Bond *Bond  `json:"bond,omitempty"`
	VLAN *VLAN  `json:"vlan,omitempty"`
	// MTU is in bytes; 0 leaves the driver's.
	MTU int `json:"mtu,omitempty"`
	// MAC is the address to be set; "" leaves what the interface has.
	MAC string `json:"mac,omitempty"`
	// Addresses are static ones, with the length of their subnet's prefix.
	Addresses []netip.Prefix `json:"addresses,omitempty"`
	Routes    []Route        `json:"routes,omitempty"`
	// DHCP leases an IPv4 address, and RA takes addresses and routes of IPv6 from router advertisements.
	DHCP bool `json:"dhcp,omitempty"`
	RA   bool `json:"ra,omitempty"`
}

// NIC is hardware.
type NIC struct {
	// MAC is the permanent address, as aa:bb:cc:dd:ee:ff; "" if it has none.
	MAC string `json:"mac,omitempty"`
	// Path is the device's directory below /sys/devices, and Port tells the interfaces of one device apart (dev_port):
	// for hardware without a permanent address, or with the same one.
	Path string `json:"path"`
	Port int    `json:"port,omitempty"`
	// Driver is for people.
	Driver string `json:"driver,omitempty"`
}

// Bond is several interfaces in one (Documentation/networking/bonding.rst).
type Bond struct {
	Of   []int  `json:"of"`
	Mode string `json:"mode"` // active-backup, 802.3ad, ...
	// MIIMon is how often the carrier of the interfaces is looked at, in milliseconds.
	MIIMon int `json:"miimon"`
	// LACPRate is slow or fast, of 802.3ad; FailOverMAC none, active or follow, of active-backup.
	LACPRate    string `json:"lacp_rate,omitempty"`
	FailOverMAC string `json:"fail_over_mac,omitempty"`
}

// VLAN is tagged frames of another interface.
type VLAN struct {
	Of       int    `json:"of"`
	ID       int    `json:"id"`
	Protocol string `json:"protocol"` // 802.1Q or 802.1ad
}

// Route is a route by an interface.
type Route struct {
	To netip.Prefix `json:"to"`
	// Via is the gateway; without one what the route leads to is on the link.
	Via netip.Addr `json:"via,omitzero"`
	// OnLink reaches a gateway that no address of the link has in its subnet.
	OnLink bool `json:"onlink,omitempty"`
	// From is the source address.
	From netip.Addr `json:"from,omitzero"`
}

// ErrFormat is wrapped by what [Record.Validate] returns.
var ErrFormat = errors.New("bad description of a network")

// Bounds of a description.
const (
	maxLinks = 256
	maxHosts = 64
	maxPer   = 256 // addresses, routes, nameservers
	maxName  = 255 // of a host, in bytes
	maxMTU   = 65536
)

// modes of a bond, by their numbers (drivers/net/bonding/bond_options.c, bond_mode_tbl).
var modes = [...]string{"balance-rr", "active-backup", "balance-xor", "broadcast", "802.3ad", "balance-tlb", "balance-alb"}

// Uses lists the links that a link is built on.
func (l *Link) Uses() []int {
	switch {
	case l.Bond != nil:
		return l.Bond.Of
	case l.VLAN != nil:
		return []int{l.VLAN.Of}
	}
	return nil
}

// bonds reports whether a link is a bond that link number n is a port of.
func (l *Link) bonds(n int) bool { return l.Bond != nil && slices.Contains(l.Bond.Of, n) }

// Validate checks that a description is complete: each link is of one kind and is built on earlier ones. The error
// wraps [ErrFormat].
func (r *Record) Validate() error {
	fail := func(format string, args ...any) error {
		return fmt.Errorf("%w: "+format, append([]any{ErrFormat}, args...)...)
	}
	switch {
	case r.Version != Version:
		return fail("version %d; this gokexec reads version %d", r.Version, Version)
	case len(r.Links) == 0 || len(r.Links) > maxLinks:
		return fail("%d links; want 1 to %d", len(r.Links), maxLinks)
	case len(r.Hosts) == 0 || len(r.Hosts) > maxHosts:
		return fail("%d hosts; want 1 to %d", len(r.Hosts), maxHosts)
	case len(r.Nameservers) > maxPer || len(r.Search) > maxPer:
		return fail("%d nameservers and %d domains; want at most %d", len(r.Nameservers), len(r.Search), maxPer)
	}
	for i, h := range r.Hosts {
		if err := h.validate(); err != nil {
			return fail("hosts[%d]: %w", i, err)
		}
	}
	used := make([]int, len(r.Links))
	for i := range r.Links {
		l := &r.Links[i]
		if err := l.validate(); err != nil {
			return fail("links[%d] (%s): %w", i, l.Name, err)
		}
		for _, n := range l.Uses() {
			if n < 0 || n >= i {
				return fail("links[%d] (%s): it is built on link %d, which is no earlier one", i, l.Name, n)
			}
			if l.Bond != nil && r.Links[n].NIC == nil {
				return fail("links[%d] (%s): link %d of the bond is no hardware", i, l.Name, n)
			}
			if used[n]++; used[n] > 1 && (l.Bond != nil || slices.ContainsFunc(r.Links[:i], func(b Link) bool { return b.bonds(n) })) {
				return fail("links[%d] (%s): link %d is a part of a bond, and used twice", i, l.Name, n)
			}
		}
	}
	for i, a := range r.Nameservers {
		if !a.IsValid() || a.IsLoopback() {
			return fail("nameservers[%d]: %v is no server", i, a)
		}
	}
	for i, s := range r.Search {
		if s == "" || len(s) > maxName || strings.ContainsFunc(s, unprintable) {
			return fail("search[%d]: %q is no domain", i, s)
		}
	}
	return nil
}

func (h *Host) validate() error {
	if h.Name == "" || len(h.Name) > maxName || strings.ContainsFunc(h.Name, unprintable) {
		return fmt.Errorf("%q is no name of a host", h.Name)
	}
	if len(h.Addresses) == 0 || len(h.Addresses) > maxPer {
		return fmt.Errorf("%d addresses of %s; want 1 to %d", len(h.Addresses), h.Name, maxPer)
	}
	for _, a := range h.Addresses {
		if !a.IsValid() || a.Is4In6() || a.IsUnspecified() {
			return fmt.Errorf("%v is no address of %s", a, h.Name)
		}
	}
	return nil
}

func unprintable(c rune) bool { return c <= ' ' || c >= 0x7f }
