package network

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gokexec/gokexec/internal/vmlab"
	"github.com/gokexec/gokexec/pkg/capture"
	"github.com/gokexec/gokexec/pkg/kdumpfile"
	"github.com/gokexec/gokexec/pkg/memmap"
)

const (
	gokexec     = "/bin/gokexec"
	guestKernel = "/boot/vmlinuz"
	lastWords   = "gokexec-test: last words"
	machineName = "node7"
	// crashMemory is 32 MB more than the smallest for a plain disk (docs/benchmarks.md).
	crashMemory = "120M"
)

// guestModules are those that the guests need, and gokexec takes into the initramfs.
var guestModules = []string{"virtio_blk", "ext4", "virtio_net", "e1000e", "bonding", "8021q", "bridge", "nfs", "nfsv4", "nfsv3", "af_packet"}

// way is a network that leads to a server.
type way struct {
	devices  []string                           // QEMU's -netdev and -device arguments
	files    []vmlab.File                       // more files in the guest
	setup    string                             // a script that brings the network up in the guest
	conf     string                             // more of [Capture] in gokexec.conf, with the target over the network
	tried    bool                               // by gokexec check
	during   func(t *testing.T, g *vmlab.Guest) // after the crash
	deadline time.Duration                      // from the crash to the reboot; 0 for none
}

// crash boots a guest that is armed for a way and for its own disk, crashes it, and waits for the reboot.
func (w *way) crash(t *testing.T, k *vmlab.Kernel, target string) (*vmlab.Guest, vmlab.Plants) {
	tools := guestTools(t)
	tree, err := k.ModuleTree(guestModules...)
	if err != nil {
		t.Fatal(err)
	}
	cfg := vmlab.Config{Kernel: k, Memory: 512, CrashKernel: crashMemory, Root: vmlab.ToolsRoot, Bare: true,
		Modules: []string{"virtio_blk", "ext4"}, Disks: []vmlab.Disk{tools.Disk(), {Size: 256 << 20, Bus: "virtio", Serial: "local"}},
		Files: append(tree, vmlab.Executable(gokexec, vmlab.BuildTest(t, "./cmd/gokexec", k.Arch)), vmlab.File{Path: guestKernel, Source: k.Image}),
		Args:  w.devices}
	cfg.Files = append(cfg.Files, w.files...)
	g := vmlab.Boot(t, cfg)
	g.Must("sh", "-euc", "hostname() { echo $1 >/proc/sys/kernel/hostname; }; hostname "+machineName+`
mke2fs -q -F -t ext4 -E lazy_itable_init=1 /dev/vdb; mkdir -p /local; mount /dev/vdb /local
ip link set lo up
`+w.setup)
	g.WriteFile("/etc/gokexec.conf", "[Kernel]\nImage="+guestKernel+"\nAppend="+k.ConsoleArg()+" no_timer_check\n[Capture]\nKeepFree=1M\nTarget="+target+"\nTarget=/local\n"+w.conf)
	if w.tried {
		t.Log(g.Must(gokexec, "check", "--target", target))
	}
	t.Log(g.Must(gokexec, "arm"))
	planted := g.PlantAll(64)
	g.WriteFile("/dev/kmsg", "<3>"+lastWords+"\n")
	g.Crash()
	begin := time.Now()
	if w.during != nil {
		w.during(t, g)
	}
	if end := g.WaitEnd(); end.Reason != "guest-reset" {
		t.Fatalf("the machine ended by %q; want guest-reset, the capture's reboot", end.Reason)
	}
	t.Logf("%v from the crash to the reboot\n%s", time.Since(begin).Round(100*time.Millisecond), said(g))
	if took := time.Since(begin); w.deadline != 0 && took > w.deadline {
		t.Errorf("the reboot came %v after the crash; want at most %v", took, w.deadline)
	}
	return g, planted
}

func guestTools(t *testing.T) *vmlab.Tools {
	return vmlab.TestTools(t, "trixie", "iproute2", "e2fsprogs")
}

// asked skips what other runs have no time for.
func asked(t *testing.T) {
	t.Helper()
	if os.Getenv("GOKEXEC_VM_NETWORK") != "all" {
		t.Skip("not in this run: it needs GOKEXEC_VM_NETWORK=all (make vm-network)")
	}
}

// usual is the kernel for what is the same on all.
func usual(t *testing.T) *vmlab.Kernel { return vmlab.GetTestKernel(t, "trixie-cloud") }

// said is what the capture has said.
func said(g *vmlab.Guest) string {
	var lines []string
	for line := range strings.Lines(g.VM.Console()) {
		if strings.HasPrefix(line, "gokexec: ") {
			lines = append(lines, line)
		}
	}
	return strings.Join(lines, "")
}

// whole checks a dump in a directory of this host.
func whole(t *testing.T, dir string, planted vmlab.Plants) *capture.Result {
	t.Helper()
	var r capture.Result
	b, err := os.ReadFile(filepath.Join(dir, capture.ResultName))
	if err == nil {
		err = json.Unmarshal(b, &r)
	}
	if err != nil {
		t.Fatal(err)
	}
	if r.Outcome != capture.Complete {
		t.Errorf("outcome %s, errors %q; want %s", r.Outcome, r.Errors, capture.Complete)
	}
	log, err := os.ReadFile(filepath.Join(dir, capture.LogName))
	if err != nil || !strings.Contains(string(log), lastWords) {
		t.Errorf("%s (%v) does not have %q", capture.LogName, err, lastWords)
	}
	dump, err := os.ReadFile(filepath.Join(dir, capture.VMCoreName))
	if err != nil {
		t.Fatal(err)
	}
	d, err := kdumpfile.Open(bytes.NewReader(dump))
	if err != nil {
		t.Fatal(err)
	}
	err = planted.Kernel.Check(func(b []byte, phys uint64) error {
		_, err := d.ReadPhysAt(b, memmap.PhysAddr(phys))
		return err
	})
	if err != nil || d.Incomplete() {
		t.Errorf("the kernel's pages in the dump: %v; incomplete %v", err, d.Incomplete())
	}
	return &r
}

// user is QEMU's user networking, which leads to this host's loopback as 10.0.2.2.
func user(device string) []string {
	return []string{"-netdev", "user,id=net0,ipv4=on,ipv6=on,ipv6-prefix=fec0::,ipv6-prefixlen=64", "-device", device + ",netdev=net0,mac=52:54:00:67:6b:65"}
}

// card finds the guest's interface, and loads what drives it.
const card = `
modprobe virtio_net; modprobe e1000e || true; modprobe nfs; modprobe nfsv4
until dev=$(ls /sys/class/net | grep -v -e lo -e bonding_masters -e sit | head -n 1); [ -n "$dev" ]; do sleep 0.1; done
ip link set "$dev" up
`

const static = card + "ip addr add 10.0.2.15/24 dev $dev; ip route add default via 10.0.2.2\n"

// A dump is saved by NFS, over a card with a static address; and a node of a cluster hears of it.
func TestVMNFS(t *testing.T) {
	asked(t)
	t.Parallel()
	server := startNFS(t, "127.0.0.1", 0)
	node := listenFence(t)
	w := way{devices: user("virtio-net-pci"), setup: static, tried: true, conf: fmt.Sprintf("NFSOptions=port=%d\nFenceKdump=10.0.2.2:%d\nFenceKdumpInterval=2\n", server.port, node.port)}
	w.during = func(*testing.T, *vmlab.Guest) { node.heard.Store(0) }
	_, planted := w.crash(t, usual(t), "nfs:10.0.2.2:/dumps")
	dumps := server.dumps(machineName)
	if len(dumps) != 1 {
		t.Fatalf("dumps %q; want one", dumps)
	}
	r := whole(t, dumps[0], planted)
	t.Logf("%d kB/s, %d MB of memory left at the least; %d messages of fence_kdump", r.RateBytesPerSecond/1000, r.Memory.MinMemAvailableBytes/1e6, node.heard.Load())
	if node.heard.Load() == 0 || node.odd.Load() != 0 {
		t.Errorf("the node heard %d messages of fence_kdump, and %d other ones", node.heard.Load(), node.odd.Load())
	}
}

// A server that stops answering during a dump costs a bounded time, and the machine's own disk has the dump. The
// address is leased.
func TestVMNFSVanishes(t *testing.T) {
	asked(t)
	t.Parallel()
	server := startNFS(t, "127.0.0.1", 0)
	const timeout = 20 * time.Second
	var vanished, next time.Time
	w := way{devices: user("virtio-net-pci"), setup: leased, conf: fmt.Sprintf("NFSOptions=port=%d\nNetworkTimeout=%d\n", server.port, timeout/time.Second)}
	w.during = func(t *testing.T, g *vmlab.Guest) {
		g.Eventually("the dump has begun", func() string {
			names, _ := filepath.Glob(filepath.Join(server.export, machineName, "2*Z", capture.IncompleteName))
			if len(names) == 1 {
				if info, err := os.Stat(names[0]); err == nil && info.Size() > 4<<20 {
					return ""
				}
			}
			return "it has not"
		})
		server.vanish()
		vanished = time.Now()
		g.Eventually("the next target is tried", func() string {
			if strings.Contains(g.VM.Console(), "target fs:") {
				return ""
			}
			return "it is not"
		})
		next = time.Now()
	}
	g, planted := w.crash(t, usual(t), "nfs:10.0.2.2:/dumps")
	t.Logf("the next target was tried %v after the server had gone", next.Sub(vanished).Round(100*time.Millisecond))
	if took := next.Sub(vanished); took > 3*timeout {
		t.Errorf("the next target was tried %v after the server had gone, with NetworkTimeout=%v", took, timeout)
	}
	if !strings.Contains(said(g), "by DHCP from 10.0.2.2") {
		t.Error("no address was leased")
	}
	dir := t.TempDir()
	extract(t, g.VM.Disk(1), dir)
	dumps, _ := filepath.Glob(filepath.Join(dir, "2*Z"))
	if len(dumps) != 1 {
		t.Fatalf("dumps %q on the disk; want one", dumps)
	}
	if r := whole(t, dumps[0], planted); !strings.Contains(strings.Join(r.Errors, "\n"), "nfs:10.0.2.2:/dumps") {
		t.Errorf("errors %q; want that of the server", r.Errors)
	}
}

// extract copies the files of an ext4 into a directory.
func extract(t *testing.T, disk, dir string) {
	t.Helper()
	for _, command := range [][]string{{"e2fsck", "-fy", disk}, {"debugfs", "-R", "rdump / " + dir, disk}} {
		out, err := exec.Command(command[0], command[1:]...).CombinedOutput()
		if err != nil && command[0] != "e2fsck" {
			t.Fatalf("%q: %v\n%s", command, err, out)
		}
	}
}

// leased has an address with a lifetime, as a program sets it that has leased it.
const leased = card + "ip addr add 10.0.2.15/24 valid_lft 3600 preferred_lft 3600 dev $dev; ip route add default via 10.0.2.2\n"

// fenceNode listens as fence_kdump does.
type fenceNode struct {
	port       int
	heard, odd atomic.Int32
}

func listenFence(t *testing.T) *fenceNode {
	t.Helper()
	l, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	n := &fenceNode{port: l.LocalAddr().(*net.UDPAddr).Port}
	go func() {
		for {
			b := make([]byte, 64)
			size, _, err := l.ReadFrom(b)
			if err != nil {
				return
			}
			// fence-agents, agents/kdump/message.h; the guest is of amd64.
			if string(b[:size]) == "\x40\x2a\x30\x1b\x01\x00\x00\x00" {
				n.heard.Add(1)
			} else {
				n.odd.Add(1)
			}
		}
	}()
	return n
}
