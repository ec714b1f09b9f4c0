package network

import (
	"context"
	"net/netip"
)

// Viewer is what the running kernel tells of its network (rtnetlink(7)). Errors unwrap to errnos.
type Viewer interface {
	// Interfaces lists the interfaces.
	Interfaces() ([]Interface, error)
	// Addresses lists the addresses of an interface.
	Addresses(index int) ([]Address, error)
	// Route is the route that the kernel takes to an address now, as `ip route get` tells it.
	Route(to netip.Addr) (Hop, error)
	// Behind tells behind which port of a bridge an address of one of its neighbours is; 0 if it is not known.
	Behind(bridge int, neighbour netip.Addr) (port int, err error)
	// BridgeVLANs lists the VLANs of bridges and their ports, by index.
	BridgeVLANs() (map[int][]PortVLAN, error)
}

// Interface is a network interface.
type Interface struct {
	Index int
	Name  string
	Kind  string // of rtnl_link_ops: vlan, bond, bridge, ...; "" for hardware
	Type  string // of the link layer: ether, loopback, infiniband, ppp, ...
	MAC   string
	// Permanent is the hardware's own address; "" if it has none or the kernel does not tell.
	Permanent string
	MTU       int
	Master    int // that it is a port of; 0 for none
	Parent    int // that it is built on; 0 for none
	Up        bool
	// Carrier reports that the link layer works (IFF_LOWER_UP).
	Carrier bool
	Bond    *Bond // of a bond, without its ports
	VLAN    *VLAN // of a VLAN, without its parent
	// Filters reports that a bridge tells VLANs apart.
	Filters bool
}

// Address is an address of an interface.
type Address struct {
	Prefix netip.Prefix
	// Dynamic reports that it has a lifetime: it was leased, or made of a router advertisement.
	Dynamic bool
	// Usable reports that it is neither being checked for duplicates nor one.
	Usable bool
}

// Hop is the first hop of the way to an address.
type Hop struct {
	Index int        // of the interface
	Via   netip.Addr // the gateway; invalid if there is none
	From  netip.Addr // the source address that the kernel takes
	Local bool       // the address is one of this machine
}

// PortVLAN is a VLAN of a port, or of a bridge itself.
type PortVLAN struct {
	ID             int
	PVID, Untagged bool // what comes in without a tag is of it; what goes out has none
}

// Maker changes the network of a kernel, and tells of it.
type Maker interface {
	Viewer
	// AddBond and AddVLAN make an interface; of the name another may be there already (EEXIST).
	AddBond(name string, b Bond) error
	AddVLAN(name string, parent int, v VLAN) error
	// SetMaster makes an interface a port; it must be down.
	SetMaster(index, master int) error
	SetMAC(index int, mac string) error
	SetMTU(index, mtu int) error
	SetUp(index int) error
	// AddAddress gives an interface an address that is used at once, without looking for duplicates. One that it
	// has is no error.
	AddAddress(index int, a netip.Prefix) error
	// AddRoute adds a route, or replaces it.
	AddRoute(index int, r Route) error
	// Lease gets an IPv4 address by DHCP for an interface, and does not set it. It tries until ctx ends.
	Lease(ctx context.Context, name string) (Lease, error)
	// WriteFile writes a file of /proc/sys, /etc/hosts or /etc/resolv.conf.
	WriteFile(name, text string) error
}

// Lease is what a DHCP server says.
type Lease struct {
	Address     netip.Prefix
	Routes      []Route
	MTU         int // 0 if it says nothing
	Nameservers []netip.Addr
	Server      netip.Addr
}
