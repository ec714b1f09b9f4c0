package network

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"strings"
	"testing"
	"testing/fstest"
)

// brief is a record in few words: what is built on what, and with which addresses.
func brief(r *Record) string {
	var b strings.Builder
	for _, l := range r.Links {
		fmt.Fprintf(&b, "%s:", l.Name)
		switch {
		case l.NIC != nil:
			fmt.Fprintf(&b, " nic %s", l.NIC.MAC)
		case l.Bond != nil:
			fmt.Fprintf(&b, " bond %s %v", l.Bond.Mode, l.Bond.Of)
		case l.VLAN != nil:
			fmt.Fprintf(&b, " vlan %d of %d", l.VLAN.ID, l.VLAN.Of)
		}
		if l.MTU != 0 {
			fmt.Fprintf(&b, " mtu %d", l.MTU)
		}
		if l.MAC != "" {
			fmt.Fprintf(&b, " mac %s", l.MAC)
		}
		for _, a := range l.Addresses {
			fmt.Fprintf(&b, " addr %v", a)
		}
		if l.DHCP {
			b.WriteString(" dhcp")
		}
		if l.RA {
			b.WriteString(" ra")
		}
		for _, route := range l.Routes {
			fmt.Fprintf(&b, " to %v", route.To)
			if route.Via.IsValid() {
				fmt.Fprintf(&b, " via %v", route.Via)
			}
			if route.OnLink {
				b.WriteString(" onlink")
			}
		}
		b.WriteString("\n")
	}
	return b.String()
}

func hop(index int, via, from string) Hop {
	h := Hop{Index: index, From: netip.MustParseAddr(from)}
	if via != "" {
		h.Via = netip.MustParseAddr(via)
	}
	return h
}

func TestResolve(t *testing.T) {
	far, far6 := netip.MustParseAddr("192.0.2.10"), netip.MustParseAddr("2001:db8:1::10")
	bond := Interface{Index: 10, Name: "bond0", Kind: "bond", Type: "ether", MAC: "52:54:00:00:00:02", MTU: 1500, Bond: &Bond{Mode: "802.3ad", LACPRate: "fast"}}
	port := func(i Interface, master int) Interface { i.Master = master; return i }
	sameMAC := func(i Interface) Interface { i.MAC = "52:54:00:00:00:02"; return i }
	bridge := Interface{Index: 20, Name: "br0", Kind: "bridge", Type: "ether", MAC: "52:54:00:00:00:02", MTU: 1500}
	filtering := bridge
	filtering.Filters = true
	mtu := func(i Interface, n int) Interface { i.MTU = n; return i }
	for _, tt := range []struct {
		name   string
		kernel *fakeKernel
		host   string
		more   fstest.MapFS
		want   string
		says   string // in the notes or warnings
	}{
		{name: "static, on the link", host: "198.51.100.9", kernel: &fakeKernel{
			links: []Interface{loopback, ether(2, "eth0")}, addresses: map[int][]Address{2: {static("198.51.100.7/24")}},
		}, want: "eth0: nic 52:54:00:00:00:02 addr 198.51.100.7/24\n"},
		{name: "by a gateway", host: "192.0.2.10", kernel: &fakeKernel{
			links: []Interface{loopback, mtu(ether(2, "eth0"), 9000)}, addresses: map[int][]Address{2: {static("198.51.100.7/24"), static("198.51.100.8/24")}},
			routes: map[netip.Addr]Hop{far: hop(2, "198.51.100.1", "198.51.100.8")},
		}, want: "eth0: nic 52:54:00:00:00:02 mtu 9000 addr 198.51.100.8/24 to 192.0.2.10/32 via 198.51.100.1 to 0.0.0.0/0 via 198.51.100.1\n"},
		{name: "a gateway outside of the subnet, as in clouds", host: "192.0.2.10", kernel: &fakeKernel{
			links: []Interface{loopback, ether(2, "eth0")}, addresses: map[int][]Address{2: {static("198.51.100.7/32")}},
			routes: map[netip.Addr]Hop{far: hop(2, "169.254.1.1", "198.51.100.7")},
		}, want: "eth0: nic 52:54:00:00:00:02 addr 198.51.100.7/32 to 192.0.2.10/32 via 169.254.1.1 onlink to 0.0.0.0/0 via 169.254.1.1 onlink\n"},
		{name: "leased", host: "192.0.2.10", kernel: &fakeKernel{
			links: []Interface{loopback, ether(2, "eth0")}, addresses: map[int][]Address{2: {dynamic("198.51.100.7/24")}},
			routes: map[netip.Addr]Hop{far: hop(2, "198.51.100.1", "198.51.100.7")},
		}, want: "eth0: nic 52:54:00:00:00:02 dhcp\n", says: "DHCP"},
		{name: "leased by systemd-networkd for ever", host: "192.0.2.10", kernel: &fakeKernel{
			links: []Interface{loopback, ether(2, "eth0")}, addresses: map[int][]Address{2: {static("198.51.100.7/24")}},
			routes: map[netip.Addr]Hop{far: hop(2, "198.51.100.1", "198.51.100.7")},
		}, more: fstest.MapFS{"run/systemd/netif/leases/2": {Data: []byte("# This is private data.\nADDRESS=198.51.100.7\nNETMASK=255.255.255.0\n")}},
			want: "eth0: nic 52:54:00:00:00:02 dhcp\n"},
		{name: "router advertisement", host: "2001:db8:1::10", kernel: &fakeKernel{
			links: []Interface{loopback, ether(2, "eth0")}, addresses: map[int][]Address{2: {dynamic("2001:db8::5054:ff:fe00:2/64")}},
			routes: map[netip.Addr]Hop{far6: hop(2, "fe80::1", "2001:db8::5054:ff:fe00:2")},
		}, want: "eth0: nic 52:54:00:00:00:02 ra\n", says: "router advertisement"},
		{name: "DHCPv6", host: "2001:db8:1::10", kernel: &fakeKernel{
			links: []Interface{loopback, ether(2, "eth0")}, addresses: map[int][]Address{2: {dynamic("2001:db8::77/128")}},
			routes: map[netip.Addr]Hop{far6: hop(2, "fe80::1", "2001:db8::77")},
		}, want: "eth0: nic 52:54:00:00:00:02 addr 2001:db8::77/128 to 2001:db8:1::10/128 via fe80::1 to ::/0 via fe80::1\n", says: "DHCPv6"},
		{name: "static IPv6", host: "2001:db8:1::10", kernel: &fakeKernel{
			links: []Interface{loopback, ether(2, "eth0")}, addresses: map[int][]Address{2: {static("2001:db8::7/64")}},
			routes: map[netip.Addr]Hop{far6: hop(2, "2001:db8::1", "2001:db8::7")},
		}, want: "eth0: nic 52:54:00:00:00:02 addr 2001:db8::7/64 to 2001:db8:1::10/128 via 2001:db8::1 to ::/0 via 2001:db8::1\n"},
		{name: "VLAN", host: "198.51.100.9", kernel: &fakeKernel{
			links:     []Interface{loopback, ether(2, "eth0"), {Index: 5, Name: "eth0.42", Kind: "vlan", Type: "ether", MTU: 1500, Parent: 2, VLAN: &VLAN{ID: 42, Protocol: "802.1Q"}}},
			addresses: map[int][]Address{5: {static("198.51.100.7/24")}},
		}, want: "eth0: nic 52:54:00:00:00:02\neth0.42: vlan 42 of 0 addr 198.51.100.7/24\n", says: "eth0.42 is VLAN 42 of eth0"},
		{name: "bond", host: "198.51.100.9", kernel: &fakeKernel{
			links:     []Interface{loopback, port(ether(2, "eth0"), 10), sameMAC(port(ether(3, "eth1"), 10)), bond},
			addresses: map[int][]Address{10: {static("198.51.100.7/24")}},
		}, want: "eth0: nic 52:54:00:00:00:02\neth1: nic 52:54:00:00:00:03\nbond0: bond 802.3ad [0 1] mac 52:54:00:00:00:02 addr 198.51.100.7/24\n", says: "bond (802.3ad) of eth0, eth1"},
		{name: "VLAN on a bridge on a bond", host: "198.51.100.9", kernel: &fakeKernel{
			links: []Interface{loopback, port(ether(2, "eth0"), 10), sameMAC(port(ether(3, "eth1"), 10)), port(bond, 20), bridge,
				{Index: 30, Name: "vnet0", Kind: "tun", Type: "ether", Master: 20},
				{Index: 31, Name: "br0.7", Kind: "vlan", Type: "ether", MAC: "52:54:00:00:00:02", MTU: 1500, Parent: 20, VLAN: &VLAN{ID: 7, Protocol: "802.1Q"}}},
			addresses: map[int][]Address{31: {static("198.51.100.7/24")}},
		}, want: "eth0: nic 52:54:00:00:00:02\neth1: nic 52:54:00:00:00:03\nbond0: bond 802.3ad [0 1] mac 52:54:00:00:00:02\nbr0.7: vlan 7 of 2 addr 198.51.100.7/24\n", says: "br0 is left out"},
		{name: "bridge with several ports", host: "198.51.100.9", kernel: &fakeKernel{
			links:     []Interface{loopback, port(ether(2, "eth0"), 20), port(ether(3, "eth1"), 20), bridge},
			addresses: map[int][]Address{20: {static("198.51.100.7/24")}}, behind: 3,
		}, want: "eth1: nic 52:54:00:00:00:03 mac 52:54:00:00:00:02 addr 198.51.100.7/24\n"},
		{name: "bridge whose port is not known", host: "198.51.100.9", kernel: &fakeKernel{
			links:     []Interface{loopback, port(ether(2, "eth0"), 20), func() Interface { i := port(ether(3, "eth1"), 20); i.Carrier = true; return i }(), bridge},
			addresses: map[int][]Address{20: {static("198.51.100.7/24")}},
		}, want: "eth1: nic 52:54:00:00:00:03 mac 52:54:00:00:00:02 addr 198.51.100.7/24\n", says: "not known"},
		{name: "bridge that tells VLANs apart", host: "198.51.100.9", kernel: &fakeKernel{
			links:     []Interface{loopback, port(ether(2, "eth0"), 20), filtering},
			addresses: map[int][]Address{20: {static("198.51.100.7/24")}},
			vlans:     map[int][]PortVLAN{20: {{ID: 5, PVID: true, Untagged: true}}, 2: {{ID: 1, PVID: true, Untagged: true}, {ID: 5}}},
		}, want: "eth0: nic 52:54:00:00:00:02\nbr0: vlan 5 of 0 mac 52:54:00:00:00:02 addr 198.51.100.7/24\n"},
		{name: "VLAN of a bridge that tells VLANs apart, untagged outside", host: "198.51.100.9", kernel: &fakeKernel{
			links:     []Interface{loopback, port(ether(2, "eth0"), 20), filtering, {Index: 31, Name: "br0.5", Kind: "vlan", Type: "ether", MTU: 1500, Parent: 20, VLAN: &VLAN{ID: 5, Protocol: "802.1Q"}}},
			addresses: map[int][]Address{31: {static("198.51.100.7/24")}},
			vlans:     map[int][]PortVLAN{20: {{ID: 1, PVID: true, Untagged: true}, {ID: 5}}, 2: {{ID: 5, PVID: true, Untagged: true}}},
		}, want: "eth0: nic 52:54:00:00:00:02 addr 198.51.100.7/24\n"},
		{name: "team of one", host: "198.51.100.9", kernel: &fakeKernel{
			links:     []Interface{loopback, port(ether(2, "eth0"), 10), {Index: 10, Name: "team0", Kind: "team", Type: "ether", MAC: "52:54:00:00:00:02", MTU: 1500}},
			addresses: map[int][]Address{10: {static("198.51.100.7/24")}},
		}, want: "eth0: nic 52:54:00:00:00:02 addr 198.51.100.7/24\n", says: "team0 is left out"},
		{name: "team of two", host: "198.51.100.9", kernel: &fakeKernel{
			links:     []Interface{loopback, port(ether(2, "eth0"), 10), port(ether(3, "eth1"), 10), {Index: 10, Name: "team0", Kind: "team", Type: "ether", MAC: "52:54:00:00:00:02", MTU: 1500}},
			addresses: map[int][]Address{10: {static("198.51.100.7/24")}},
		}, want: "eth0: nic 52:54:00:00:00:02\neth1: nic 52:54:00:00:00:03\nteam0: bond 802.3ad [0 1] mac 52:54:00:00:00:02 addr 198.51.100.7/24\n", says: "team0 is a team"},
		{name: "an old kernel tells no permanent address", host: "198.51.100.9", kernel: &fakeKernel{
			links: []Interface{loopback, func() Interface { i := ether(2, "eth0"); i.Permanent = ""; return i }()}, addresses: map[int][]Address{2: {static("198.51.100.7/24")}},
		}, more: fstest.MapFS{"sys/devices/pci0000:00/0000:00:03.0/virtio0/net/eth0/addr_assign_type": {Data: []byte("0\n")}},
			want: "eth0: nic 52:54:00:00:00:02 addr 198.51.100.7/24\n"},
		{name: "a card without a permanent address", host: "198.51.100.9", kernel: &fakeKernel{
			links: []Interface{loopback, func() Interface { i := ether(2, "eth0"); i.Permanent = ""; return i }()}, addresses: map[int][]Address{2: {static("198.51.100.7/24")}},
		}, more: fstest.MapFS{"sys/devices/pci0000:00/0000:00:03.0/virtio0/net/eth0/addr_assign_type": {Data: []byte("1\n")}},
			want: "eth0: nic  addr 198.51.100.7/24\n", says: "pci0000:00/0000:00:03.0/virtio0"},
		{name: "another address than the card's own", host: "198.51.100.9", kernel: &fakeKernel{
			links: []Interface{loopback, func() Interface { i := ether(2, "eth0"); i.MAC = "02:00:00:00:00:aa"; return i }()}, addresses: map[int][]Address{2: {static("198.51.100.7/24")}},
		}, want: "eth0: nic 52:54:00:00:00:02 mac 02:00:00:00:00:aa addr 198.51.100.7/24\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			root := sysNet("eth0", "eth1")
			for name, file := range tt.more {
				root[name] = file
			}
			r := &Resolver{Kernel: tt.kernel, Root: root}
			got, err := r.Resolve(context.Background(), []string{tt.host})
			if err != nil {
				t.Fatal(err)
			}
			if text := brief(got.Record); text != tt.want {
				t.Errorf("recorded\n%swant\n%s", text, tt.want)
			}
			if said := strings.Join(append(got.Notes, got.Warnings...), "\n"); !strings.Contains(said, tt.says) {
				t.Errorf("said %q; want %q", said, tt.says)
			}
			b, err := json.Marshal(got.Record)
			var back Record
			if err == nil {
				err = json.Unmarshal(b, &back)
			}
			if err != nil || brief(&back) != tt.want || back.Validate() != nil {
				t.Errorf("as JSON it is %s (%v, %v)", b, err, back.Validate())
			}
		})
	}
}

func TestRefused(t *testing.T) {
	for _, tt := range []struct {
		name string
		link Interface
		root fstest.MapFS
		want string
	}{
		{"wireless", ether(2, "eth0"), fstest.MapFS{"sys/devices/pci0000:00/0000:00:03.0/virtio0/net/eth0/phy80211": {Mode: fs.ModeDir}}, "wireless"},
		{"virtual function", ether(2, "eth0"), fstest.MapFS{"sys/devices/pci0000:00/0000:00:03.0/virtio0/physfn": {Mode: fs.ModeDir}}, "virtual function"},
		{"modem", ether(2, "eth0"), fstest.MapFS{"sys/devices/pci0000:00/0000:00:03.0/virtio0/net/eth0/uevent": {Data: []byte("DEVTYPE=wwan\n")}}, "modem"},
		{"PPP", Interface{Index: 2, Name: "ppp0", Kind: "ppp", Type: "ppp"}, nil, "PPP"},
		{"WireGuard", Interface{Index: 2, Name: "wg0", Kind: "wireguard", Type: "none"}, nil, "WireGuard"},
		{"VPN", Interface{Index: 2, Name: "tun0", Kind: "tun", Type: "none"}, nil, "made by a program"},
		{"tunnel", Interface{Index: 2, Name: "gre1", Kind: "gre", Type: "gre"}, nil, "a tunnel"},
		{"overlay", Interface{Index: 2, Name: "vx0", Kind: "vxlan", Type: "ether"}, nil, "overlay (vxlan)"},
		{"Open vSwitch", Interface{Index: 2, Name: "br-ex", Kind: "openvswitch", Type: "ether"}, nil, "Open vSwitch"},
		{"container", Interface{Index: 2, Name: "eth0", Kind: "veth", Type: "ether"}, nil, "container"},
		{"macvlan", Interface{Index: 2, Name: "eth0", Kind: "macvlan", Type: "ether"}, nil, "macvlan"},
		{"unknown", Interface{Index: 2, Name: "x0", Kind: "something", Type: "ether"}, nil, "something"},
		{"InfiniBand", Interface{Index: 2, Name: "ib0", Type: "infiniband"}, nil, "InfiniBand"},
		{"no hardware", ether(2, "odd0"), nil, "no hardware"},
		{"bridge without a way out", Interface{Index: 2, Name: "virbr0", Kind: "bridge", Type: "ether"}, nil, "bridge without a port"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			root := sysNet("eth0")
			for name, file := range tt.root {
				root[name] = file
			}
			k := &fakeKernel{links: []Interface{loopback, tt.link}, addresses: map[int][]Address{2: {static("198.51.100.7/24")}}}
			_, err := (&Resolver{Kernel: k, Root: root}).Resolve(context.Background(), []string{"198.51.100.9"})
			var refusal *Refusal
			if !errors.As(err, &refusal) || !strings.Contains(err.Error(), tt.want) || refusal.Instead == "" {
				t.Errorf("error %v; want a refusal with %q, and what to do", err, tt.want)
			}
		})
	}
}

func TestResolveHost(t *testing.T) {
	k := &fakeKernel{
		links:     []Interface{loopback, ether(2, "eth0"), ether(3, "eth1")},
		addresses: map[int][]Address{1: {static("127.0.0.1/8")}, 2: {static("198.51.100.7/24")}, 3: {static("203.0.113.7/24")}},
		routes:    map[netip.Addr]Hop{netip.MustParseAddr("198.51.100.53"): hop(2, "", "198.51.100.7"), netip.MustParseAddr("192.0.2.53"): hop(2, "198.51.100.1", "198.51.100.7")},
	}
	root := sysNet("eth0", "eth1")
	root["etc/resolv.conf"] = &fstest.MapFile{Data: []byte("nameserver 127.0.0.53\noptions edns0\n")}
	root["run/systemd/resolve/resolv.conf"] = &fstest.MapFile{Data: []byte("# x\nnameserver 198.51.100.53\nnameserver 192.0.2.53\nnameserver 203.0.113.53\nsearch example.com lab.example.com\n")}
	names := map[string][]string{"dumps": {"2001:db8::9", "198.51.100.9", "203.0.113.9", "198.51.100.10"}}
	lookup := func(_ context.Context, host string) ([]netip.Addr, error) {
		var all []netip.Addr
		for _, text := range names[host] {
			all = append(all, netip.MustParseAddr(text))
		}
		if all == nil {
			return new(Dialer).Lookup(context.Background(), host)
		}
		return all, nil
	}
	got, err := (&Resolver{Kernel: k, Root: root, Lookup: lookup}).Resolve(context.Background(), []string{"dumps"})
	if err != nil {
		t.Fatal(err)
	}
	want := "{dumps [198.51.100.9 198.51.100.10]}"
	if have := fmt.Sprint(got.Record.Hosts[0]); have != want {
		t.Errorf("host %s; want %s: those without a route, and by another interface, are left out", have, want)
	}
	if have := fmt.Sprint(got.Record.Nameservers, got.Record.Search); have != "[198.51.100.53 192.0.2.53] [example.com lab.example.com]" {
		t.Errorf("name servers %s", have)
	}
	if text := brief(got.Record); !strings.Contains(text, "to 192.0.2.53/32 via 198.51.100.1") {
		t.Errorf("no route to the name server: %s", text)
	}
	for host, want := range map[string]string{"127.0.0.1": "this machine itself", "198.51.100.7": "this machine itself", "2001:db8::9": "unreachable"} {
		if _, err := (&Resolver{Kernel: k, Root: root}).Resolve(context.Background(), []string{host}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v; want %q", host, err, want)
		}
	}
	// The addresses of a name don't make another record of it.
	names["dumps"] = []string{"198.51.100.10", "198.51.100.11"}
	again, err := (&Resolver{Kernel: k, Root: root, Lookup: lookup}).Resolve(context.Background(), []string{"dumps"})
	if err != nil || again.Record.Digest() != got.Record.Digest() {
		t.Errorf("another digest (%v) after a name server's answer changed", err)
	}
	k.addresses[2] = []Address{static("198.51.100.8/24")}
	k.routes = nil
	if again, err = (&Resolver{Kernel: k, Root: root, Lookup: lookup}).Resolve(context.Background(), []string{"dumps"}); err != nil || again.Record.Digest() == got.Record.Digest() {
		t.Errorf("the same digest (%v) after the address changed", err)
	}
}
