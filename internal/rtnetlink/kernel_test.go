package rtnetlink

import (
	"errors"
	"net"
	"net/netip"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/gokexec/gokexec/pkg/network"
)

// inNamespace runs a test in a network namespace of its own. Its thread ends with it.
func inNamespace(t *testing.T, test func(t *testing.T)) {
	t.Helper()
	done := make(chan bool)
	go func() {
		defer close(done)
		runtime.LockOSThread()
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			t.Logf("SKIPPED: no network namespace: %v", err)
			return
		}
		test(t)
	}()
	<-done
}

// What is made is there, as it was asked for.
func TestMake(t *testing.T) {
	inNamespace(t, func(t *testing.T) {
		k := Kernel{}
		pair := &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "eth0"}, PeerName: "far0"}
		if err := netlink.LinkAdd(pair); err != nil {
			t.Logf("SKIPPED: no veth: %v", err)
			return
		}
		find := func(name string) network.Interface {
			all, err := k.Interfaces()
			n := slices.IndexFunc(all, func(i network.Interface) bool { return i.Name == name })
			if err != nil || n < 0 {
				t.Errorf("%s is not among %+v (%v)", name, all, err)
				return network.Interface{}
			}
			return all[n]
		}
		eth := find("eth0")
		if eth.Kind != "veth" || eth.Type != "ether" || find("lo").Type != "loopback" || find("lo").Kind != "" {
			t.Errorf("%+v", eth)
		}
		a := netip.MustParsePrefix("198.51.100.7/24")
		a6 := netip.MustParsePrefix("2001:db8::7/64")
		for name, err := range map[string]error{
			"MAC": k.SetMAC(eth.Index, "02:00:00:00:00:07"), "MTU": k.SetMTU(eth.Index, 1400),
			"up": k.SetUp(eth.Index), "peer": k.SetUp(find("far0").Index), "address": k.AddAddress(eth.Index, a), "again": k.AddAddress(eth.Index, a),
		} {
			if err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
		if eth = find("eth0"); eth.MAC != "02:00:00:00:00:07" || eth.MTU != 1400 || !eth.Up {
			t.Errorf("%+v", eth)
		}
		for range 100 {
			if find("eth0").Carrier {
				break
			}
			time.Sleep(10 * time.Millisecond)
		}
		if err := k.AddAddress(eth.Index, a6); err == nil { // without IPv6 there is none
			all, err := k.Addresses(eth.Index)
			if !slices.Contains(all, network.Address{Prefix: a6, Usable: true}) {
				t.Errorf("addresses %+v, %v; want %v to be usable at once", all, err, a6)
			}
		}
		via := netip.MustParseAddr("198.51.100.1")
		for _, r := range []network.Route{
			{To: netip.MustParsePrefix("0.0.0.0/0"), Via: via, From: a.Addr()},
			{To: netip.MustParsePrefix("0.0.0.0/0"), Via: via, From: a.Addr()}, // replaces it
			{To: netip.MustParsePrefix("203.0.113.0/24"), Via: netip.MustParseAddr("169.254.1.1"), OnLink: true},
			{To: netip.MustParsePrefix("192.0.2.1/32")},
		} {
			if err := k.AddRoute(eth.Index, r); err != nil {
				t.Errorf("route %+v: %v", r, err)
			}
		}
		for to, want := range map[string]network.Hop{
			"192.0.2.10":   {Index: eth.Index, Via: via, From: a.Addr()},
			"198.51.100.9": {Index: eth.Index, From: a.Addr()},
			"203.0.113.9":  {Index: eth.Index, Via: netip.MustParseAddr("169.254.1.1"), From: a.Addr()},
			"192.0.2.1":    {Index: eth.Index, From: a.Addr()},
		} {
			if h, err := k.Route(netip.MustParseAddr(to)); err != nil || h != want {
				t.Errorf("route to %s: %+v, %v; want %+v", to, h, err, want)
			}
		}
		if h, err := k.Route(a.Addr()); err != nil || !h.Local {
			t.Errorf("route to itself: %+v, %v", h, err)
		}
		if _, err := k.Route(netip.MustParseAddr("2001:db8:1::1")); !errors.Is(err, unix.ENETUNREACH) && !errors.Is(err, unix.EHOSTUNREACH) {
			t.Errorf("route to nowhere: %v", err)
		}
		if err := k.AddVLAN("eth0.5", eth.Index, network.VLAN{ID: 5, Protocol: "802.1Q"}); err == nil {
			if v := find("eth0.5"); v.Kind != "vlan" || v.Parent != eth.Index || v.VLAN == nil || v.VLAN.ID != 5 {
				t.Errorf("%+v", v)
			}
			if err := k.AddVLAN("eth0.5", eth.Index, network.VLAN{ID: 6, Protocol: "802.1Q"}); !errors.Is(err, unix.EEXIST) {
				t.Errorf("a second one of the name: %v; want %v", err, unix.EEXIST)
			}
		} else if !errors.Is(err, unix.EOPNOTSUPP) {
			t.Errorf("VLAN: %v", err)
		}
		if err := k.AddBond("bond9", network.Bond{Mode: "802.3ad", MIIMon: 100, LACPRate: "fast"}); err == nil {
			if b := find("bond9"); b.Kind != "bond" || b.Bond == nil || b.Bond.Mode != "802.3ad" || b.Bond.MIIMon != 100 || b.Bond.LACPRate != "fast" {
				t.Errorf("%+v", b)
			}
		} else if !errors.Is(err, unix.EOPNOTSUPP) {
			t.Errorf("bond: %v", err)
		}
	})
}

func TestLease(t *testing.T) {
	ack := func(options ...dhcpv4.Option) *dhcpv4.DHCPv4 {
		d := &dhcpv4.DHCPv4{YourIPAddr: net.IPv4(198, 51, 100, 7)}
		for _, o := range options {
			d.UpdateOption(o)
		}
		return d
	}
	via := netip.MustParseAddr("198.51.100.1")
	everything := netip.MustParsePrefix("0.0.0.0/0")
	for _, tt := range []struct {
		name   string
		ack    *dhcpv4.DHCPv4
		prefix string
		routes []network.Route
	}{
		{"a router", ack(dhcpv4.OptSubnetMask(net.CIDRMask(24, 32)), dhcpv4.OptRouter(net.IPv4(198, 51, 100, 1))), "198.51.100.7/24", []network.Route{{To: everything, Via: via}}},
		{"a router outside", ack(dhcpv4.OptSubnetMask(net.CIDRMask(32, 32)), dhcpv4.OptRouter(net.IPv4(198, 51, 100, 1))), "198.51.100.7/32", []network.Route{{To: everything, Via: via, OnLink: true}}},
		{"no mask", ack(), "198.51.100.7/24", nil},
		{"routes", ack(dhcpv4.OptSubnetMask(net.CIDRMask(24, 32)), dhcpv4.OptRouter(net.IPv4(198, 51, 100, 99)),
			dhcpv4.OptClasslessStaticRoute(&dhcpv4.Route{Dest: &net.IPNet{IP: net.IPv4(192, 0, 2, 0), Mask: net.CIDRMask(24, 32)}, Router: net.IPv4(198, 51, 100, 1)})),
			"198.51.100.7/24", []network.Route{{To: netip.MustParsePrefix("192.0.2.0/24"), Via: via}}},
	} {
		l, err := lease(tt.ack)
		if err != nil || l.Address.String() != tt.prefix || !slices.Equal(l.Routes, tt.routes) {
			t.Errorf("%s: %+v, %v; want %s, %+v", tt.name, l, err, tt.prefix, tt.routes)
		}
	}
	if _, err := lease(&dhcpv4.DHCPv4{}); err == nil {
		t.Error("an answer without an address is a lease")
	}
}
