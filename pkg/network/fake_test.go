package network

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing/fstest"
	"time"
)

// fakeKernel answers as rtnetlink does, from tables.
type fakeKernel struct {
	mu        sync.Mutex
	links     []Interface
	addresses map[int][]Address
	routes    map[netip.Addr]Hop // of single addresses; default: by the first interface that has a subnet with it
	behind    int
	vlans     map[int][]PortVLAN
	events    []string
	files     map[string]string

	appear    time.Duration // when the hardware is there, after begin
	carrier   time.Duration // when it has a carrier; negative: never
	advertise *Address      // comes from a router
	lease     *Lease        // nil: no server answers
	begin     time.Time
}

func (k *fakeKernel) event(format string, args ...any) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.events = append(k.events, fmt.Sprintf(format, args...))
}

func (k *fakeKernel) Interfaces() ([]Interface, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	var all []Interface
	for _, i := range k.links {
		if i.Kind == "" && i.Type == "ether" && time.Since(k.begin) < k.appear {
			continue
		}
		i.Carrier = i.Carrier || k.carrier >= 0 && i.Up && time.Since(k.begin) >= k.carrier
		all = append(all, i)
	}
	return all, nil
}

func (k *fakeKernel) Addresses(index int) ([]Address, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	all := k.addresses[index]
	if k.advertise != nil && k.files["/proc/sys/net/ipv6/conf/"+k.name(index)+"/accept_ra"] == "1" {
		all = append(slices.Clone(all), *k.advertise)
	}
	return all, nil
}

func (k *fakeKernel) name(index int) string {
	for _, i := range k.links {
		if i.Index == index {
			return i.Name
		}
	}
	return ""
}

func (k *fakeKernel) Route(to netip.Addr) (Hop, error) {
	if h, ok := k.routes[to]; ok {
		return h, nil
	}
	for _, i := range k.links {
		for _, a := range k.addresses[i.Index] {
			if a.Prefix.Contains(to) {
				return Hop{Index: i.Index, From: a.Prefix.Addr(), Local: a.Prefix.Addr() == to}, nil
			}
		}
	}
	if k.advertise != nil && to.Is6() {
		return Hop{Index: 2, From: k.advertise.Prefix.Addr(), Via: netip.MustParseAddr("fe80::1")}, nil
	}
	return Hop{}, syscall.ENETUNREACH
}

func (k *fakeKernel) Behind(int, netip.Addr) (int, error) { return k.behind, nil }

func (k *fakeKernel) BridgeVLANs() (map[int][]PortVLAN, error) { return k.vlans, nil }

func (k *fakeKernel) at(index int) *Interface {
	for i := range k.links {
		if k.links[i].Index == index {
			return &k.links[i]
		}
	}
	return nil
}

func (k *fakeKernel) add(name, kind string) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, i := range k.links {
		if i.Name == name {
			return fmt.Errorf("make %s: %w", name, syscall.EEXIST)
		}
	}
	k.links = append(k.links, Interface{Index: 100 + len(k.links), Name: name, Kind: kind, Type: "ether", MTU: 1500})
	return nil
}

func (k *fakeKernel) AddBond(name string, b Bond) error {
	k.event("bond %s %s %d %s", name, b.Mode, b.MIIMon, b.LACPRate)
	return k.add(name, "bond")
}

func (k *fakeKernel) AddVLAN(name string, parent int, v VLAN) error {
	if i := k.at(parent); i == nil {
		return syscall.ENODEV
	}
	k.event("vlan %s %d of %s", name, v.ID, k.name(parent))
	return k.add(name, "vlan")
}

func (k *fakeKernel) SetMaster(index, master int) error {
	i := k.at(index)
	if i == nil || i.Up {
		return fmt.Errorf("port %d: %w", index, syscall.EBUSY) // bond_enslave
	}
	i.Master, i.Up = master, true
	k.event("%s into %s", i.Name, k.name(master))
	return nil
}

func (k *fakeKernel) SetMAC(index int, mac string) error {
	k.event("mac %s %s", k.name(index), mac)
	return nil
}

func (k *fakeKernel) SetMTU(index, mtu int) error {
	k.event("mtu %s %d", k.name(index), mtu)
	return nil
}

func (k *fakeKernel) SetUp(index int) error {
	k.mu.Lock()
	k.at(index).Up = true
	k.mu.Unlock()
	k.event("up %s", k.name(index))
	return nil
}

func (k *fakeKernel) AddAddress(index int, a netip.Prefix) error {
	k.event("address %s %v", k.name(index), a)
	return nil
}

func (k *fakeKernel) AddRoute(index int, r Route) error {
	text := fmt.Sprintf("route %s %v", k.name(index), r.To)
	if r.Via.IsValid() {
		text += " via " + r.Via.String()
	}
	if r.OnLink {
		text += " onlink"
	}
	if r.From.IsValid() {
		text += " from " + r.From.String()
	}
	k.event("%s", text)
	return nil
}

func (k *fakeKernel) Lease(ctx context.Context, _ string) (Lease, error) {
	if k.lease != nil {
		return *k.lease, nil
	}
	<-ctx.Done()
	return Lease{}, ctx.Err()
}

func (k *fakeKernel) WriteFile(name, text string) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.files == nil {
		k.files = map[string]string{}
	}
	k.files[name] = text
	if strings.HasSuffix(name, "/accept_ra") {
		return nil
	}
	if strings.HasPrefix(name, "/proc") {
		return errors.ErrUnsupported // a kernel without IPv6
	}
	return nil
}

// sysNet is /sys/class/net of hardware, by name, each on a bus of its own.
func sysNet(names ...string) fstest.MapFS {
	root := fstest.MapFS{}
	for n, name := range names {
		dir := fmt.Sprintf("sys/devices/pci0000:00/0000:00:%02x.0/virtio%d", n+3, n)
		root["sys/class/net/"+name] = &fstest.MapFile{Mode: 0o777 | 1<<27, Data: []byte("../../devices/" + strings.TrimPrefix(dir, "sys/devices/") + "/net/" + name)}
		root[dir+"/net/"+name+"/dev_port"] = &fstest.MapFile{Data: []byte("0\n")}
		root[dir+"/net/"+name+"/device"] = &fstest.MapFile{Mode: 0o777 | 1<<27, Data: []byte("../../../virtio" + fmt.Sprint(n))}
		root[dir+"/driver"] = &fstest.MapFile{Mode: 0o777 | 1<<27, Data: []byte("../../../../bus/virtio/drivers/virtio_net")}
		root["sys/bus/virtio/drivers/virtio_net/bind"] = &fstest.MapFile{}
	}
	return root
}

func ether(index int, name string) Interface {
	mac := fmt.Sprintf("52:54:00:00:00:%02x", index)
	return Interface{Index: index, Name: name, Type: "ether", MAC: mac, Permanent: mac, MTU: 1500}
}

var loopback = Interface{Index: 1, Name: "lo", Type: "loopback", MTU: 65536}

func static(text string) Address { return Address{Prefix: netip.MustParsePrefix(text), Usable: true} }

func dynamic(text string) Address {
	return Address{Prefix: netip.MustParsePrefix(text), Usable: true, Dynamic: true}
}
