package rtnetlink

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/gokexec/gokexec/pkg/network"
)

// AddBond makes a bond.
func (Kernel) AddBond(name string, b network.Bond) error {
	l := netlink.NewLinkBond(netlink.LinkAttrs{Name: name})
	if l.Mode = netlink.StringToBondMode(b.Mode); l.Mode == netlink.BOND_MODE_UNKNOWN {
		return fmt.Errorf("bond %s: mode %q: %w", name, b.Mode, unix.EINVAL)
	}
	l.Miimon = b.MIIMon
	if n := slices.Index(lacpRates[:], b.LACPRate); n >= 0 && l.Mode == netlink.BOND_MODE_802_3AD {
		l.LacpRate = netlink.BondLacpRate(n)
	}
	if n := slices.Index(failOverMACs[:], b.FailOverMAC); n >= 0 && l.Mode == netlink.BOND_MODE_ACTIVE_BACKUP {
		l.FailOverMac = netlink.BondFailOverMac(n)
	}
	return wrap(netlink.LinkAdd(l), "make the bond %s", name)
}

// AddVLAN makes a VLAN.
func (Kernel) AddVLAN(name string, parent int, v network.VLAN) error {
	l := &netlink.Vlan{LinkAttrs: netlink.LinkAttrs{Name: name, ParentIndex: parent}, VlanId: v.ID, VlanProtocol: netlink.VLAN_PROTOCOL_8021Q}
	if v.Protocol == "802.1ad" {
		l.VlanProtocol = netlink.VLAN_PROTOCOL_8021AD
	}
	return wrap(netlink.LinkAdd(l), "make VLAN %d, %s", v.ID, name)
}

// wrap says what failed. The kernel's word is an errno.
func wrap(err error, format string, args ...any) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf(format+": %w", append(args, err)...)
}

// SetMaster makes an interface a port.
func (Kernel) SetMaster(index, master int) error {
	return wrap(netlink.LinkSetMasterByIndex(at(index), master), "make network interface %d a port of %d", index, master)
}

// SetMAC sets the address of the link layer.
func (Kernel) SetMAC(index int, mac string) error {
	address, err := net.ParseMAC(mac)
	if err == nil {
		err = netlink.LinkSetHardwareAddr(at(index), address)
	}
	return wrap(err, "set the address of network interface %d to %s", index, mac)
}

// SetMTU sets the MTU, in bytes.
func (Kernel) SetMTU(index, mtu int) error {
	return wrap(netlink.LinkSetMTU(at(index), mtu), "set the MTU of network interface %d to %d", index, mtu)
}

// SetUp brings an interface up.
func (Kernel) SetUp(index int) error {
	return wrap(netlink.LinkSetUp(at(index)), "bring network interface %d up", index)
}

// AddAddress gives an interface an address. IFA_F_NODAD is for IPv6; IPv4 ignores it.
func (Kernel) AddAddress(index int, p netip.Prefix) error {
	a := &netlink.Addr{IPNet: ipNet(p)}
	if p.Addr().Is6() {
		a.Flags = unix.IFA_F_NODAD
	}
	if err := netlink.AddrAdd(at(index), a); !errors.Is(err, unix.EEXIST) {
		return wrap(err, "add the address %v to network interface %d", p, index)
	}
	return nil
}

func ipNet(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}

// AddRoute adds a route, or replaces it.
func (Kernel) AddRoute(index int, r network.Route) error {
	out := &netlink.Route{LinkIndex: index, Dst: ipNet(r.To)}
	if r.Via.IsValid() {
		out.Gw = r.Via.AsSlice()
	} else if r.To.Addr().Is4() {
		out.Scope = netlink.SCOPE_LINK
	}
	if r.OnLink {
		out.Flags = int(netlink.FLAG_ONLINK)
	}
	if r.From.IsValid() {
		out.Src = r.From.AsSlice()
	}
	return wrap(netlink.RouteReplace(out), "add the route to %v by network interface %d", r.To, index)
}
