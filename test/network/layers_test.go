package network

import (
	"encoding/binary"
	"fmt"
	"net"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/gokexec/gokexec/internal/vmlab"
)

// vlanSwitch is a switch with cables to cards of QEMU, of one VLAN with tags; without them it leads to an interface of this
// host. It does not speak LACP. This host's kernel may know no VLANs.
type vlanSwitch struct {
	vlan  uint16
	tap   *os.File
	ports []*switchPort

	mu    sync.Mutex
	known map[[6]byte]int // behind which port an address is
}

type switchPort struct {
	conn  net.PacketConn
	cable net.Addr // where QEMU is
}

// newSwitch moves the test into a network namespace and makes a switch with ports there, and an interface with an address.
// Programs that the test starts are in the namespace too. devices are QEMU's arguments for the cards.
func newSwitch(t *testing.T, vlan uint16, address, device string, ports int) (devices []string) {
	t.Helper()
	runtime.LockOSThread() // for good: the thread ends with the test
	must := func(what string, err error) {
		t.Helper()
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
	}
	must("a network namespace", unix.Unshare(unix.CLONE_NEWNET))
	lo, err := netlink.LinkByName("lo")
	must("lo", err)
	must("bring up lo", netlink.LinkSetUp(lo))
	tap := &netlink.Tuntap{LinkAttrs: netlink.LinkAttrs{Name: "inside"}, Mode: netlink.TUNTAP_MODE_TAP, Flags: netlink.TUNTAP_NO_PI, Queues: 1}
	must("make a tap", netlink.LinkAdd(tap))
	a, err := netlink.ParseAddr(address)
	must(address, err)
	must("set "+address, netlink.AddrAdd(tap, a))
	must("bring up the tap", netlink.LinkSetUp(tap))
	s := &vlanSwitch{vlan: vlan, tap: tap.Fds[0], known: map[[6]byte]int{}}
	for i := range ports {
		conn, err := net.ListenPacket("udp", "127.0.0.1:0")
		must("a port", err)
		t.Cleanup(func() { conn.Close() })
		cable := &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 9000 + i}
		s.ports = append(s.ports, &switchPort{conn, cable})
		devices = append(devices, "-netdev", fmt.Sprintf("socket,id=net%d,udp=%s,localaddr=%s", i, conn.LocalAddr(), cable),
			"-device", fmt.Sprintf("%s,netdev=net%d,mac=52:54:00:67:6b:%02x", device, i, i+1))
		go s.fromPort(i)
	}
	t.Cleanup(func() { s.tap.Close() })
	go s.fromTap()
	return devices
}

// maxFrame is a frame of Ethernet with a tag, and some room.
const maxFrame = 2048

// fromPort takes the tag off what comes from a card.
func (s *vlanSwitch) fromPort(n int) {
	frame := make([]byte, maxFrame)
	for {
		size, _, err := s.ports[n].conn.ReadFrom(frame)
		if err != nil {
			return
		}
		if size < 18 || binary.BigEndian.Uint16(frame[12:]) != 0x8100 || binary.BigEndian.Uint16(frame[14:])&0xfff != s.vlan {
			continue // LACP, or of another VLAN
		}
		s.mu.Lock()
		s.known[[6]byte(frame[6:12])] = n
		s.mu.Unlock()
		_, _ = s.tap.Write(append(slices.Clone(frame[:12]), frame[16:size]...))
	}
}

// fromTap puts a tag on what goes to the cards.
func (s *vlanSwitch) fromTap() {
	frame := make([]byte, maxFrame)
	for {
		size, err := s.tap.Read(frame)
		if err != nil {
			return
		}
		if size < 14 {
			continue
		}
		tagged := binary.BigEndian.AppendUint16(slices.Clone(frame[:12]), 0x8100)
		tagged = append(binary.BigEndian.AppendUint16(tagged, s.vlan), frame[12:size]...)
		s.mu.Lock()
		n, known := s.known[[6]byte(frame[:6])]
		s.mu.Unlock()
		for i, p := range s.ports {
			if !known || i == n {
				_, _ = p.conn.WriteTo(tagged, p.cable)
			}
		}
	}
}

// The way leads by a VLAN on a bridge on a bond (802.3ad, of a switch that does not speak LACP) of two cards.
func TestVMNFSLayers(t *testing.T) {
	asked(t)
	t.Parallel()
	k := usual(t)
	guestTools(t) // fetched while this thread sees the network
	vmlab.BuildTest(t, "./cmd/gokexec", k.Arch)
	vmlab.GetTestPackage(t, "trixie", "nfs-ganesha-vfs")
	devices := newSwitch(t, 42, "198.51.100.1/24", "virtio-net-pci,speed=1000,duplex=full", 2) // 802.3ad needs to know
	server := startNFS(t, "198.51.100.1", 2049)
	w := way{devices: devices, tried: true, setup: `
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
	for _, want := range []string{"a bond (802.3ad) of 2 ports", "br0.42 is VLAN 42 of"} {
		if !strings.Contains(said(g), want) {
			t.Errorf("the capture did not say %q", want)
		}
	}
}

// An address of a router advertisement, on an e1000e.
func TestVMNFSAdvertised(t *testing.T) {
	asked(t)
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
