package rtnetlink

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/gokexec/gokexec/pkg/network"
)

// Kernel is a [network.Maker]. A connection is made for each request.
type Kernel struct{}

var _ network.Maker = Kernel{}

// dumpTries is how often a list is asked for that changed while it was told.
const dumpTries = 5

// dump repeats a request whose answer is inconsistent (NLM_F_DUMP_INTR).
func dump[T any](ask func() (T, error)) (answer T, err error) {
	for range dumpTries {
		if answer, err = ask(); !errors.Is(err, netlink.ErrDumpInterrupted) {
			break
		}
	}
	return answer, err
}

// Interfaces lists the interfaces.
func (Kernel) Interfaces() ([]network.Interface, error) {
	links, err := dump(netlink.LinkList)
	if err != nil {
		return nil, fmt.Errorf("list network interfaces: %w", err)
	}
	var all []network.Interface
	for _, l := range links {
		all = append(all, describe(l))
	}
	return all, nil
}

func describe(l netlink.Link) network.Interface {
	a := l.Attrs()
	i := network.Interface{
		Index: a.Index, Name: a.Name, Kind: l.Type(), Type: a.EncapType, MAC: a.HardwareAddr.String(), Permanent: a.PermHWAddr.String(),
		MTU: a.MTU, Master: a.MasterIndex, Parent: a.ParentIndex, Up: a.RawFlags&unix.IFF_UP != 0, Carrier: a.RawFlags&unix.IFF_LOWER_UP != 0,
	}
	switch l := l.(type) {
	case *netlink.Device:
		i.Kind = ""
	case *netlink.Vlan:
		i.VLAN = &network.VLAN{ID: l.VlanId, Protocol: "802.1Q"}
		if l.VlanProtocol == netlink.VLAN_PROTOCOL_8021AD {
			i.VLAN.Protocol = "802.1ad"
		}
	case *netlink.Bond:
		i.Bond = &network.Bond{Mode: l.Mode.String(), MIIMon: l.Miimon}
		if l.Mode == netlink.BOND_MODE_802_3AD {
			i.Bond.LACPRate = lacpRates[min(max(int(l.LacpRate), 0), len(lacpRates)-1)]
		}
		if l.Mode == netlink.BOND_MODE_ACTIVE_BACKUP {
			i.Bond.FailOverMAC = failOverMACs[min(max(int(l.FailOverMac), 0), len(failOverMACs)-1)]
		}
	case *netlink.Bridge:
		i.Filters = l.VlanFiltering != nil && *l.VlanFiltering
	}
	return i
}

// Values of options of bonds by their numbers (drivers/net/bonding/bond_options.c).
var (
	lacpRates    = [...]string{"slow", "fast"}
	failOverMACs = [...]string{"none", "active", "follow"}
)

// Addresses lists the addresses of an interface.
func (Kernel) Addresses(index int) ([]network.Address, error) {
	found, err := dump(func() ([]netlink.Addr, error) { return netlink.AddrList(at(index), netlink.FAMILY_ALL) })
	if err != nil {
		return nil, fmt.Errorf("list addresses of network interface %d: %w", index, err)
	}
	var all []network.Address
	for _, a := range found {
		if a.LinkIndex != index || a.IPNet == nil {
			continue
		}
		ip, ok := netip.AddrFromSlice(a.IP)
		if !ok {
			continue
		}
		ones, _ := a.Mask.Size()
		all = append(all, network.Address{
			Prefix:  netip.PrefixFrom(ip.Unmap(), ones),
			Dynamic: a.Flags&unix.IFA_F_PERMANENT == 0,
			Usable:  a.Flags&unix.IFA_F_DADFAILED == 0 && (a.Flags&unix.IFA_F_TENTATIVE == 0 || a.Flags&unix.IFA_F_OPTIMISTIC != 0),
		})
	}
	return all, nil
}

// at is an interface of which only the number matters.
func at(index int) netlink.Link {
	return &netlink.Device{LinkAttrs: netlink.LinkAttrs{Index: index}}
}

// Route is the route that the kernel takes to an address now.
func (Kernel) Route(to netip.Addr) (network.Hop, error) {
	routes, err := netlink.RouteGet(to.AsSlice())
	if err != nil {
		return network.Hop{}, err
	}
	if len(routes) == 0 {
		return network.Hop{}, unix.ENETUNREACH
	}
	r := routes[0]
	switch r.Type {
	case unix.RTN_UNICAST:
	case unix.RTN_LOCAL:
		return network.Hop{Index: r.LinkIndex, Local: true}, nil
	case unix.RTN_BROADCAST, unix.RTN_ANYCAST, unix.RTN_MULTICAST:
		return network.Hop{}, fmt.Errorf("%v is no address of one host: %w", to, unix.EINVAL)
	default:
		return network.Hop{}, unix.ENETUNREACH
	}
	h := network.Hop{Index: r.LinkIndex}
	if len(r.MultiPath) > 0 {
		h.Index = r.MultiPath[0].LinkIndex
		h.Via, _ = netip.AddrFromSlice(r.MultiPath[0].Gw)
	}
	if gw, ok := netip.AddrFromSlice(r.Gw); ok {
		h.Via = gw
	}
	if via, ok := r.Via.(*netlink.Via); ok {
		if gw, ok := netip.AddrFromSlice(via.Addr); ok && gw.BitLen() == to.BitLen() {
			h.Via = gw
		} else {
			return h, fmt.Errorf("its gateway %v is of another family: %w", via.Addr, unix.EAFNOSUPPORT)
		}
	}
	h.Via, h.From = h.Via.Unmap(), h.From.Unmap()
	if src, ok := netip.AddrFromSlice(r.Src); ok {
		h.From = src.Unmap()
	}
	return h, nil
}

// Behind looks the neighbour's hardware address up, and behind which port of the bridge that was seen.
func (Kernel) Behind(bridge int, neighbour netip.Addr) (int, error) {
	known, err := dump(func() ([]netlink.Neigh, error) { return netlink.NeighList(bridge, netlink.FAMILY_ALL) })
	if err != nil {
		return 0, err
	}
	var mac net.HardwareAddr
	for _, n := range known {
		if ip, ok := netip.AddrFromSlice(n.IP); ok && ip.Unmap() == neighbour.WithZone("") && n.State&(unix.NUD_FAILED|unix.NUD_INCOMPLETE) == 0 {
			mac = n.HardwareAddr
		}
	}
	if len(mac) == 0 {
		return 0, nil
	}
	seen, err := dump(func() ([]netlink.Neigh, error) { return netlink.NeighList(0, unix.AF_BRIDGE) })
	if err != nil {
		return 0, err
	}
	for _, n := range seen {
		if n.MasterIndex == bridge && n.State&unix.NUD_PERMANENT == 0 && n.HardwareAddr.String() == mac.String() {
			return n.LinkIndex, nil
		}
	}
	return 0, nil
}

// BridgeVLANs lists the VLANs of bridges and their ports.
func (Kernel) BridgeVLANs() (map[int][]network.PortVLAN, error) {
	found, err := netlink.BridgeVlanList()
	if err != nil {
		return nil, err
	}
	all := map[int][]network.PortVLAN{}
	for index, vlans := range found {
		for _, v := range vlans {
			all[int(index)] = append(all[int(index)], network.PortVLAN{ID: int(v.Vid), PVID: v.PortVID(), Untagged: v.EngressUntag()})
		}
	}
	return all, nil
}

// WriteFile writes a file of /proc/sys, /etc/hosts or /etc/resolv.conf.
func (Kernel) WriteFile(name, text string) error { return os.WriteFile(name, []byte(text), 0o644) }
