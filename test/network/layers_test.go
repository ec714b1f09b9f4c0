package network

import (
	"fmt"
	"net"
	"runtime"
	"strings"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/gokexec/gokexec/internal/vmlab"
)

// ownNetwork moves the test into a network namespace, with a switch that has a port for each name, and an address in a
// VLAN. Programs that the test starts are in it too.
func ownNetwork(t *testing.T, vlan int, address string, ports ...string) {
	t.Helper()
	runtime.LockOSThread() // for good: the thread ends with the test
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		t.Fatalf("a network namespace: %v", err)
	}
	must := func(what string, err error) {
		t.Helper()
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
	}
	up := func(l netlink.Link) { must("bring up "+l.Attrs().Name, netlink.LinkSetUp(l)) }
	lo, err := netlink.LinkByName("lo")
	must("lo", err)
	up(lo)
	// The switch's own port has the VLAN without a tag, all others with one.
	filters, none := true, uint16(0)
	bridge := &netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: "switch"}, VlanFiltering: &filters, VlanDefaultPVID: &none}
	must("make a bridge that tells VLANs apart", netlink.LinkAdd(bridge))
	must("its VLAN", netlink.BridgeVlanAdd(bridge, uint16(vlan), true, true, true, false))
	up(bridge)
	for _, name := range ports {
		tap := &netlink.Tuntap{LinkAttrs: netlink.LinkAttrs{Name: name, MasterIndex: bridge.Index}, Mode: netlink.TUNTAP_MODE_TAP, Flags: netlink.TUNTAP_DEFAULTS | netlink.TUNTAP_VNET_HDR}
		must("make a tap", netlink.LinkAdd(tap))
		must("make it a port", netlink.LinkSetMaster(tap, bridge))
		must("the VLAN of a port", netlink.BridgeVlanAdd(tap, uint16(vlan), false, false, false, true))
		up(tap)
	}
	a, err := netlink.ParseAddr(address)
	must(address, err)
	must("set "+address, netlink.AddrAdd(bridge, a))
}

// taps are QEMU's arguments for cards on ports of the switch.
func taps(device string, ports ...string) []string {
	var args []string
	for i, name := range ports {
		args = append(args, "-netdev", fmt.Sprintf("tap,id=net%d,ifname=%s,script=no,downscript=no", i, name), "-device", fmt.Sprintf("%s,netdev=net%d,mac=52:54:00:67:6b:%02x", device, i, i+1))
	}
	return args
}

// The way leads by a VLAN on a bridge on a bond (802.3ad, of a switch that does not speak LACP) of two cards.
func TestVMNFSLayers(t *testing.T) {
	t.Parallel()
	k := usual(t)
	guestTools(t) // fetched while this thread sees the network
	vmlab.BuildTest(t, "./cmd/gokexec", k.Arch)
	vmlab.GetTestPackage(t, "trixie", "nfs-ganesha-vfs")
	ownNetwork(t, 42, "198.51.100.1/24", "port0", "port1")
	server := startNFS(t, "198.51.100.1", 2049)
	w := way{devices: taps("virtio-net-pci", "port0", "port1"), setup: `
modprobe virtio_net; modprobe bonding max_bonds=0; modprobe 8021q; modprobe bridge
until [ -e /sys/class/net/eth1 ]; do sleep 0.1; done
ip link add bond0 type bond mode 802.3ad miimon 100
for dev in eth0 eth1; do ip link set $dev down; ip link set $dev master bond0; done
ip link add br0 type bridge; ip link set bond0 master br0
ip link add link br0 name br0.42 type vlan id 42
for dev in bond0 br0 br0.42; do ip link set $dev up; done
ip addr add 198.51.100.7/24 dev br0.42
`}
	g, planted := w.crash(t, k, "nfs:198.51.100.1:/dumps")
	dumps := server.dumps(machineName)
	if len(dumps) != 1 {
		t.Fatalf("dumps %q; want one", dumps)
	}
	whole(t, dumps[0], planted)
	for _, want := range []string{"bond0 is a bond (802.3ad) of 2 ports", "br0.42 is VLAN 42 of bond0"} {
		if !strings.Contains(said(g), want) {
			t.Errorf("the capture did not say %q", want)
		}
	}
}

// An address of a router advertisement, on an e1000e.
func TestVMNFSAdvertised(t *testing.T) {
	vmlab.NotByDefault(t)
	vmlab.MatrixOf(t, func(t *testing.T, k *vmlab.Kernel) {
		if _, err := net.Listen("tcp", "[::1]:0"); err != nil {
			t.Skipf("this host has no IPv6: %v", err)
		}
		server := startNFS(t, "::1", 0)
		w := way{devices: user("e1000e"), setup: card + "until ip -6 route get fec0::2 2>/dev/null | grep -q 'src fec0:'; do sleep 0.2; done\n",
			conf: fmt.Sprintf("NFSOptions=port=%d\n", server.port)}
		g, planted := w.crash(t, k, "nfs:[fec0::2]:/dumps")
		dumps := server.dumps(machineName)
		if len(dumps) != 1 {
			t.Fatalf("dumps %q; want one", dumps)
		}
		whole(t, dumps[0], planted)
		if !strings.Contains(said(g), "by router advertisement") {
			t.Error("no address was advertised")
		}
	}, "trixie-generic")
}
