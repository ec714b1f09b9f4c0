package network

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"
)

func nicLink(index int, name string) Link {
	return Link{Name: name, NIC: &NIC{MAC: fmt.Sprintf("52:54:00:00:00:%02x", index), Path: fmt.Sprintf("pci0000:00/0000:00:%02x.0/virtio%d", index+1, index-2)}}
}

func record(links ...Link) *Record {
	return &Record{Version: Version, Hosts: []Host{{Name: "198.51.100.9", Addresses: []netip.Addr{netip.MustParseAddr("198.51.100.9")}}}, Links: links}
}

func withAddress(l Link) Link {
	l.Addresses = []netip.Prefix{netip.MustParsePrefix("198.51.100.7/24")}
	return l
}

func TestBringUp(t *testing.T) {
	route := Route{To: netip.MustParsePrefix("0.0.0.0/0"), Via: netip.MustParseAddr("198.51.100.1"), From: netip.MustParseAddr("198.51.100.7")}
	routed := withAddress(nicLink(2, "eth0"))
	routed.Routes, routed.MTU, routed.MAC = []Route{route}, 9000, "02:00:00:00:00:aa"
	leased := nicLink(2, "eth0")
	leased.DHCP = true
	announced := nicLink(2, "eth0")
	announced.RA = true
	bond := Link{Name: "bond0", Bond: &Bond{Of: []int{0, 1}, Mode: "802.3ad", MIIMon: 100, LACPRate: "fast"}, MAC: "52:54:00:00:00:02"}
	vlan := withAddress(Link{Name: "bond0.42", VLAN: &VLAN{Of: 2, ID: 42, Protocol: "802.1Q"}})
	lease := &Lease{Address: netip.MustParsePrefix("198.51.100.99/24"), Routes: []Route{{To: netip.MustParsePrefix("0.0.0.0/0"), Via: netip.MustParseAddr("198.51.100.1")}},
		MTU: 1400, Nameservers: []netip.Addr{netip.MustParseAddr("198.51.100.53")}}
	ra := dynamic("2001:db8::5054:ff:fe00:2/64")
	for _, tt := range []struct {
		name   string
		kernel *fakeKernel
		record *Record
		want   []string
		err    error
	}{
		// In the capture kernel the card has another name.
		{"static", &fakeKernel{links: []Interface{ether(3, "eth0"), ether(2, "ens9")}}, record(routed),
			[]string{"mac ens9 02:00:00:00:00:aa", "mtu ens9 9000", "up ens9", "address ens9 198.51.100.7/24", "route ens9 0.0.0.0/0 via 198.51.100.1 from 198.51.100.7"}, nil},
		{"the card comes late", &fakeKernel{links: []Interface{ether(2, "eth0")}, appear: 30 * time.Millisecond, carrier: 60 * time.Millisecond}, record(withAddress(nicLink(2, "eth0"))),
			[]string{"up eth0", "address eth0 198.51.100.7/24"}, nil},
		{"VLAN on a bond", &fakeKernel{links: []Interface{ether(2, "eth0"), ether(3, "eth1")}}, record(nicLink(2, "eth0"), nicLink(3, "eth1"), bond, vlan),
			[]string{"bond bond0 802.3ad 100 fast", "mac bond0 52:54:00:00:00:02", "eth0 into bond0", "eth1 into bond0", "up bond0", "up bond0", "vlan bond0.42 42 of bond0", "up bond0.42", "address bond0.42 198.51.100.7/24"}, nil},
		{"a port of the bond is missing, and bonding has made a bond0", &fakeKernel{links: []Interface{ether(3, "eth1"), {Index: 9, Name: "bond0", Kind: "bond", Type: "ether"}}}, record(nicLink(2, "eth0"), nicLink(3, "eth1"), bond, vlan),
			[]string{"bond bond0 802.3ad 100 fast", "bond gokexec0 802.3ad 100 fast", "mac gokexec0 52:54:00:00:00:02", "eth1 into gokexec0", "up gokexec0", "up gokexec0", "vlan bond0.42 42 of gokexec0", "up bond0.42", "address bond0.42 198.51.100.7/24"}, nil},
		{"leased", &fakeKernel{links: []Interface{ether(2, "eth0")}, lease: lease}, record(leased),
			[]string{"up eth0", "mtu eth0 1400", "address eth0 198.51.100.99/24", "route eth0 0.0.0.0/0 via 198.51.100.1"}, nil},
		{"advertised", &fakeKernel{links: []Interface{ether(2, "eth0")}, advertise: &ra}, record(announced), []string{"up eth0"}, nil},
		{"no card", &fakeKernel{links: []Interface{ether(3, "eth0")}}, record(withAddress(nicLink(2, "eth0"))), nil, ErrLink},
		{"no carrier", &fakeKernel{links: []Interface{ether(2, "eth0")}, carrier: -1}, record(withAddress(nicLink(2, "eth0"))), []string{"up eth0"}, ErrLink},
		{"no lease", &fakeKernel{links: []Interface{ether(2, "eth0")}}, record(leased), []string{"up eth0"}, ErrAddress},
		{"no advertisement", &fakeKernel{links: []Interface{ether(2, "eth0")}}, record(announced), []string{"up eth0"}, ErrAddress},
		{"no port of the bond", &fakeKernel{}, record(nicLink(2, "eth0"), nicLink(3, "eth1"), bond, vlan), nil, ErrLink},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tt.kernel.begin = time.Now()
			const limit = 400 * time.Millisecond
			var said []string
			touched := 0
			b := &Bringer{Kernel: tt.kernel, Root: sysNet("eth0", "eth1"), Timeout: limit, Say: func(f string, a ...any) { said = append(said, fmt.Sprintf(f, a...)) }}
			err := b.Up(context.Background(), tt.record, func() { touched++ })
			if !errors.Is(err, tt.err) || (err == nil) != (tt.err == nil) {
				t.Errorf("error %v; want %v; said %q", err, tt.err, said)
			}
			if tt.err != nil && !strings.Contains(err.Error(), "within "+limit.String()) {
				t.Errorf("%v; want how long was waited", err)
			}
			if !slices.Equal(tt.kernel.events, tt.want) {
				t.Errorf("did %q; want %q", tt.kernel.events, tt.want)
			}
			if took := time.Since(tt.kernel.begin); took > 10*limit {
				t.Errorf("it took %v with a bound of %v", took, limit)
			}
			if err != nil && touched == 0 {
				t.Error("waiting was not alive")
			}
			if tt.kernel.lease != nil && tt.kernel.files["/etc/resolv.conf"] != "nameserver 198.51.100.53\noptions timeout:3 attempts:2\n" {
				t.Errorf("resolv.conf: %q", tt.kernel.files["/etc/resolv.conf"])
			}
		})
	}
}

// Targets that share an interface bring it up once; what failed is not waited for again.
func TestBringUpOnce(t *testing.T) {
	k := &fakeKernel{links: []Interface{ether(2, "eth0")}, begin: time.Now()}
	b := &Bringer{Kernel: k, Root: sysNet("eth0"), Timeout: time.Second}
	first, second := withAddress(nicLink(2, "eth0")), withAddress(nicLink(2, "eth0"))
	second.Routes = []Route{{To: netip.MustParsePrefix("192.0.2.0/24"), Via: netip.MustParseAddr("198.51.100.1")}}
	for _, l := range []Link{first, second} {
		if err := b.Up(t.Context(), record(l), func() {}); err != nil {
			t.Fatal(err)
		}
	}
	want := []string{"up eth0", "address eth0 198.51.100.7/24", "address eth0 198.51.100.7/24", "route eth0 192.0.2.0/24 via 198.51.100.1"}
	if !slices.Equal(k.events, want) {
		t.Errorf("did %q; want %q", k.events, want)
	}
	gone := &Bringer{Kernel: &fakeKernel{}, Root: sysNet(), Timeout: 100 * time.Millisecond}
	begin := time.Now()
	for range 5 {
		if err := gone.Up(t.Context(), record(first), func() {}); !errors.Is(err, ErrLink) {
			t.Fatalf("error %v; want %v", err, ErrLink)
		}
	}
	if took := time.Since(begin); took > 350*time.Millisecond {
		t.Errorf("five tries took %v; want one wait of 100ms", took)
	}
}

func TestAmong(t *testing.T) {
	nic := nicLink(2, "eth0").NIC
	port := ether(4, "vf0") // a virtual function below Hyper-V's interface has its address
	port.Permanent, port.Master = nic.MAC, 2
	other := ether(5, "eth5")
	other.Permanent = nic.MAC
	unnamed := &NIC{Path: nic.Path}
	for _, tt := range []struct {
		name string
		nic  *NIC
		all  []Interface
		want string
	}{
		{"by its address", nic, []Interface{loopback, ether(3, "eth0"), ether(2, "eth7")}, "eth7"},
		{"not its port", nic, []Interface{port, ether(2, "eth7")}, "eth7"},
		{"of two with one address that at its place", nic, []Interface{other, ether(2, "eth0")}, "eth0"},
		{"by its place", unnamed, []Interface{ether(3, "eth1"), ether(2, "eth0")}, "eth0"},
		{"not there", nic, []Interface{loopback, ether(3, "eth1")}, ""},
	} {
		if got, _ := tt.nic.among(tt.all, sysNet("eth0", "eth1")); got.Name != tt.want {
			t.Errorf("%s: %q; want %q", tt.name, got.Name, tt.want)
		}
	}
}
