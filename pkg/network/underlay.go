package network

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// foreign is a kind of interface that a capture kernel does not have, by the kernel's name for it
// (rtnl_link_ops.kind). In what, %s is that name.
type foreign struct{ kinds, what, instead string }

const (
	takeOther = "name a host that is reached by an Ethernet interface, or a VLAN, bond or bridge of some; or save to a disk first and ship after the reboot"
	takeHost  = "run gokexec on the host, outside of the container"
)

var foreigners = [...]foreign{
	{"wireguard", "a WireGuard tunnel: its keys are not taken into a capture kernel", takeOther},
	{"tun", "made by a program (tun, tap), such as a VPN, which does not run in the capture kernel", takeOther},
	{"gre gretap ip6gre ip6gretap erspan ip6erspan ipip ip6tnl sit vti vti6 xfrm ipvti l2tpeth gtp bareudp amt fou", "a tunnel", takeOther},
	{"vxlan geneve macsec batadv hsr rmnet", "an overlay (%s) of another network", takeOther},
	{"openvswitch", "a port of Open vSwitch, whose daemons do not run in the capture kernel", "move the address to a bond or VLAN that Open vSwitch does not hold; " + takeOther},
	{"ppp", "a PPP connection", takeOther},
	{"wwan", "a mobile modem", takeOther},
	{"veth netkit", "one end of a pair of virtual interfaces (%s), as in a container", takeHost},
	{"macvlan macvtap ipvlan ipvtap", "a second interface on another one (%s), as in a container", "use the address of the interface below; " + takeHost},
	{"vrf", "a VRF, whose rules are not taken into a capture kernel", "reach the host by the main routing table"},
	{"dummy ifb nlmon netdevsim vcan vxcan can", "no way out of this machine (%s)", takeOther},
	{"dsa", "a port of a switch chip (DSA)", takeOther},
	{"ipoib", "InfiniBand", takeOther},
}

func (b *builder) iface(index int) (Interface, bool) {
	for _, i := range b.all {
		if i.Index == index {
			return i, true
		}
	}
	return Interface{}, false
}

func (b *builder) ports(master int) []Interface {
	var ports []Interface
	for _, i := range b.all {
		if i.Master == master {
			ports = append(ports, i)
		}
	}
	return ports
}

// link records an interface and what it is built on, and returns its number. next is the neighbour that is to be
// reached by it.
func (b *builder) link(index int, next netip.Addr) (int, error) {
	if n, ok := b.at[index]; ok {
		return n, nil
	}
	i, ok := b.iface(index)
	if !ok {
		return 0, fmt.Errorf("interface %d is not there", index)
	}
	n, err := b.build(i, next)
	if err == nil {
		b.at[index] = n
	}
	return n, err
}

func (b *builder) build(i Interface, next netip.Addr) (int, error) {
	switch i.Kind {
	case "":
		return b.hardware(i)
	case "vlan":
		return b.vlan(i, next)
	case "bond":
		return b.bond(i)
	case "team":
		return b.team(i)
	case "bridge":
		return b.bridge(i, 0, next)
	}
	for _, f := range foreigners {
		if slices.Contains(strings.Fields(f.kinds), i.Kind) {
			return 0, refuse(f.instead, "the way leads by %s, which is %s", i.Name, strings.ReplaceAll(f.what, "%s", i.Kind))
		}
	}
	return 0, refuse(takeOther, "the way leads by %s, of a kind (%s) that gokexec does not make in a capture kernel", i.Name, i.Kind)
}

func (b *builder) add(l Link) int {
	b.out.Record.Links = append(b.out.Record.Links, l)
	return len(b.out.Record.Links) - 1
}

// driverMTU is the MTU of Ethernet that nobody has set.
const driverMTU = 1500

func linkOf(i Interface) Link {
	l := Link{Name: i.Name}
	if i.MTU != driverMTU && i.MTU > 0 && i.MTU <= maxMTU {
		l.MTU = i.MTU
	}
	return l
}

// vlan records tagged frames of another interface.
func (b *builder) vlan(i Interface, next netip.Addr) (int, error) {
	if i.VLAN == nil {
		return 0, fmt.Errorf("%s: the kernel does not tell which VLAN it is", i.Name)
	}
	if parent, ok := b.iface(i.Parent); ok && parent.Kind == "bridge" && parent.Filters {
		return b.bridge(parent, i.VLAN.ID, next)
	}
	below, err := b.link(i.Parent, next)
	if err != nil {
		return 0, err
	}
	l := linkOf(i)
	v := *i.VLAN
	v.Of = below
	l.VLAN = &v
	if parent, ok := b.iface(i.Parent); ok && parent.MTU == i.MTU {
		l.MTU = 0 // it has its parent's
	}
	b.note("%s is VLAN %d of %s", i.Name, v.ID, b.out.Record.Links[below].Name)
	return b.add(l), nil
}

// defaultMIIMon is how often the carrier of a bond's ports is looked at if it was not said, in milliseconds.
const defaultMIIMon = 100

// bond records a bond with all of its ports that are hardware.
func (b *builder) bond(i Interface) (int, error) {
	if i.Bond == nil {
		return 0, fmt.Errorf("%s: the kernel does not tell its mode", i.Name)
	}
	bond := *i.Bond
	if bond.MIIMon <= 0 {
		bond.MIIMon = defaultMIIMon
		b.note("%s looks at the carrier of its ports in the capture kernel, every %d ms", i.Name, defaultMIIMon)
	}
	return b.bondOf(i, bond)
}

func (b *builder) bondOf(i Interface, bond Bond) (int, error) {
	var names []string
	var errs []error
	for _, port := range b.ports(i.Index) {
		n, err := b.port(port)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		bond.Of = append(bond.Of, n)
		names = append(names, port.Name)
	}
	if len(bond.Of) == 0 {
		return 0, errors.Join(append(errs, refuse(takeOther, "%s has no port that a capture kernel could use", i.Name))...)
	}
	for _, err := range errs {
		b.warn("a port of %s is left out: %v", i.Name, err)
	}
	l := linkOf(i)
	l.Bond = &bond
	if validMAC(i.MAC) {
		l.MAC = i.MAC
	}
	b.note("%s is made again as a bond (%s) of %s", i.Name, bond.Mode, strings.Join(names, ", "))
	return b.add(l), nil
}

// port records hardware that is a part of something.
func (b *builder) port(i Interface) (int, error) {
	if i.Kind != "" {
		return 0, refuse(takeOther, "%s is a %s, not hardware", i.Name, i.Kind)
	}
	n, err := b.hardware(i)
	if err == nil {
		b.at[i.Index] = n
		b.out.Record.Links[n].MTU = 0 // that of what it is a part of
	}
	return n, err
}

// team records a team as a bond: what it does a program decides, which does not run in the capture kernel.
func (b *builder) team(i Interface) (int, error) {
	if ports := b.ports(i.Index); len(ports) == 1 {
		n, err := b.port(ports[0])
		if err == nil {
			b.moved(n, i)
		}
		return n, err
	}
	b.warn("%s is a team, of which the capture kernel makes a bond of mode 802.3ad, which also works by one port at a time: of a switch with a static channel it may get nothing", i.Name)
	return b.bondOf(i, Bond{Mode: "802.3ad", MIIMon: defaultMIIMon, LACPRate: "slow"})
}

// moved gives the link that stands for another interface what that has.
func (b *builder) moved(n int, i Interface) {
	l := &b.out.Record.Links[n]
	if l.NIC == nil || l.NIC.MAC != i.MAC {
		if validMAC(i.MAC) && i.MAC != l.MAC {
			l.MAC = i.MAC
		}
	} else {
		l.MAC = ""
	}
	l.MTU = linkOf(i).MTU
	b.note("%s is left out: its address goes to %s, its way out", i.Name, l.Name)
}

// bridge records the port of a bridge that leads to a neighbour, in the bridge's place. vlan is that in which it is, 0
// for the one of frames without a tag.
func (b *builder) bridge(i Interface, vlan int, next netip.Addr) (int, error) {
	port, err := b.wayOut(i, next)
	if err != nil {
		return 0, err
	}
	tagged := false
	if i.Filters {
		if vlan, tagged, err = b.taggedAt(i, port, vlan); err != nil {
			return 0, err
		}
	}
	n, err := b.link(port.Index, next)
	if err != nil {
		return 0, err
	}
	if tagged {
		b.note("%s is left out: VLAN %d of %s stands for it", i.Name, vlan, port.Name)
		l := linkOf(i)
		l.VLAN = &VLAN{Of: n, ID: vlan, Protocol: "802.1Q"}
		if validMAC(i.MAC) {
			l.MAC = i.MAC
		}
		return b.add(l), nil
	}
	b.moved(n, i)
	return n, nil
}

// taggedAt tells in which VLAN frames of the bridge itself are, and whether they leave the port with a tag.
func (b *builder) taggedAt(bridge, port Interface, vlan int) (int, bool, error) {
	all, err := b.Kernel.BridgeVLANs()
	if err != nil {
		return 0, false, fmt.Errorf("VLANs of %s: %w", bridge.Name, err)
	}
	if vlan == 0 {
		for _, v := range all[bridge.Index] {
			if v.PVID {
				vlan = v.ID
			}
		}
	}
	for _, v := range all[port.Index] {
		if v.ID == vlan {
			return vlan, !v.Untagged, nil
		}
	}
	return 0, false, refuse(takeOther, "%s is not in VLAN %d of the bridge %s", port.Name, vlan, bridge.Name)
}

// wayOut is the port of a bridge behind which a neighbour is.
func (b *builder) wayOut(i Interface, next netip.Addr) (Interface, error) {
	var usable []Interface
	var refused error
	for _, p := range b.ports(i.Index) {
		if err := b.canMake(p); err != nil {
			refused = err
			continue
		}
		usable = append(usable, p)
	}
	switch len(usable) {
	case 0:
		if refused == nil {
			refused = refuse(takeOther, "%s is a bridge without a port", i.Name)
		}
		return Interface{}, fmt.Errorf("%s is a bridge without a port that a capture kernel could use: %w", i.Name, refused)
	case 1:
		return usable[0], nil
	}
	behind, err := b.Kernel.Behind(i.Index, next)
	if err != nil {
		return Interface{}, fmt.Errorf("ports of %s: %w", i.Name, err)
	}
	for _, p := range usable {
		if p.Index == behind {
			return p, nil
		}
	}
	first := usable[0]
	for _, p := range slices.Backward(usable) {
		if p.Carrier {
			first = p
		}
	}
	b.warn("behind which port of the bridge %s %v is is not known: %s is taken; exchange some data with it and try again", i.Name, next, first.Name)
	return first, nil
}

// canMake reports whether a capture kernel can have an interface, and records nothing.
func (b *builder) canMake(i Interface) error {
	scratch := &builder{Resolver: b.Resolver, all: b.all, at: map[int]int{}, out: &Resolved{Record: &Record{Version: Version}}}
	_, err := scratch.link(i.Index, netip.Addr{})
	return err
}
