package vmlab

import (
	"context"
	"io"
	"net"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/gokexec/gokexec/internal/vmlab/wire"
	"github.com/u-root/u-root/pkg/cpio" // an independent reader and writer of archives
)

// listArchive lists an archive by u-root's reader.
func listArchive(t *testing.T, archive []byte) []string {
	t.Helper()
	var list []string
	err := cpio.ForEachRecord(cpio.Newc.Reader(strings.NewReader(string(archive))), func(r cpio.Record) error {
		kind := map[uint64]string{cpio.S_IFDIR: "d", cpio.S_IFREG: "f", cpio.S_IFLNK: "l", cpio.S_IFCHR: "c"}[r.Mode&cpio.S_IFMT]
		content := make([]byte, r.FileSize)
		if r.FileSize > 0 {
			if _, err := r.ReadAt(content, 0); err != nil && err != io.EOF {
				return err
			}
			content = append([]byte(" "), content...)
		}
		list = append(list, r.Name+" "+kind+modeText(r.Mode&0o7777)+string(content))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func modeText(mode uint64) string {
	return string([]byte{'0' + byte(mode>>6&7), '0' + byte(mode>>3&7), '0' + byte(mode&7)})
}

func TestQEMUArgs(t *testing.T) {
	t.Setenv("GOKEXEC_VM_ACCEL", "")
	k := &Kernel{Name: "x", Arch: "amd64", Image: "/k"}
	for _, test := range []struct {
		name  string
		cfg   Config
		major int
		want  []string // pairs that have to be there
		not   string
	}{
		{name: "default", cfg: Config{}, major: 7, want: []string{"-accel tcg,thread=multi", "-cpu max,-cx16", "-m 512M", "-smp 1",
			"-append console=ttyS0 panic=3 lab.channel=ttyS1", "-serial chardev:channel"}, not: "virtio"},
		{name: "new QEMU", cfg: Config{CPUFlags: []string{"-la57"}}, major: 10, want: []string{"-cpu max,-la57"}},
		{name: "hotplug", cfg: Config{MaxCPUs: 4, MaxMemory: 2048}, major: 7, want: []string{"-accel tcg,thread=single", "-cpu max,-cx16,-hypervisor",
			"-smp 1,sockets=4,cores=1,threads=1,maxcpus=4", "-m 512M,slots=32,maxmem=2048M", "-smbios type=1,serial=VMware-56"}},
		{name: "crash", cfg: Config{CrashKernel: "128M", Cmdline: "x=y", Init: "/sbin/i"}, major: 10,
			want: []string{"-append console=ttyS0 panic=3 lab.channel=ttyS1 crashkernel=128M rdinit=/sbin/i x=y"}},
		{name: "virtio", cfg: Config{Channel: "virtio", Disks: []Disk{{Bus: "virtio", Drive: "bps_wr=1"}}}, major: 10,
			want: []string{"-device virtserialport,bus=ports.0,chardev=channel,name=lab.channel",
				"-drive file=/d,,x/disk0.img,if=none,id=disk0,format=raw,cache=unsafe,bps_wr=1"}},
	} {
		test.cfg.Kernel = k
		cfg, err := test.cfg.withDefaults()
		if err != nil {
			t.Errorf("%s: %v", test.name, err)
			continue
		}
		args := cfg.qemuArgs("/d,x", nil, test.major)
		for _, pair := range test.want {
			option, value, _ := strings.Cut(pair, " ")
			found := false
			for i := range args[:len(args)-1] {
				found = found || args[i] == option && args[i+1] == value
			}
			if !found {
				t.Errorf("%s: no %q in %q", test.name, pair, args)
			}
		}
		if test.not != "" && slices.ContainsFunc(args, func(a string) bool { return strings.Contains(a, test.not) }) {
			t.Errorf("%s: %q in %q", test.name, test.not, args)
		}
	}
	for _, bad := range []Config{{}, {Kernel: &Kernel{Arch: "vax"}}, {Kernel: k, Disks: []Disk{{Bus: "ide"}}},
		{Kernel: &Kernel{Arch: "arm64"}, Channel: "uart"}, {Kernel: k, Root: "/dev/nvme0n1", Disks: []Disk{{}, {}}}} {
		if _, err := bad.withDefaults(); err == nil {
			t.Errorf("withDefaults(%+v) took it", bad)
		}
	}
}

func TestPhysicalMemory(t *testing.T) {
	f, err := os.CreateTemp(t.TempDir(), "ram")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := f.Truncate(8 << 10); err != nil {
		t.Fatal(err)
	}
	m := &PhysicalMemory{file: f, base: 0, size: 8 << 10, split: 4 << 10, high: 1 << 32}
	if _, err := m.WriteAt([]byte("end"), 4<<10-3); err != nil {
		t.Error(err)
	}
	if _, err := m.WriteAt([]byte("high"), 1<<32); err != nil {
		t.Error(err)
	}
	b := make([]byte, 7)
	if _, err := f.ReadAt(b, 4<<10-3); err != nil || string(b) != "endhigh" {
		t.Errorf("the file has %q, %v; want endhigh", b, err)
	}
	for _, at := range []int64{4 << 10, 4<<10 - 1, 1<<32 + 4<<10 - 1, -1} {
		if _, err := m.ReadAt(make([]byte, 2), at); err == nil {
			t.Errorf("ReadAt(%#x) of no RAM succeeded", at)
		}
	}
}

// A guest that answers, restarts and vanishes.
func TestChannel(t *testing.T) {
	host, guest := net.Pipe()
	c := newChannel(host)
	in, out := wire.NewReader(guest, wire.MaxRequest), wire.NewWriter(guest, wire.MaxReply)
	take := func() wire.Request {
		var r wire.Request
		if err := in.Read(&r); err != nil {
			t.Error(err)
		}
		return r
	}
	say := func(r wire.Reply) {
		if err := out.Write(r); err != nil {
			t.Error(err)
		}
	}
	go func() {
		r := take()
		say(wire.Reply{Type: wire.TypeAck, ID: r.ID})
		say(wire.Reply{Type: wire.TypeOutput, ID: r.ID, Stream: "data", Data: []byte("con")})
		say(wire.Reply{Type: wire.TypeOutput, ID: 99, Stream: "data", Data: []byte("nobody's")})
		say(wire.Reply{Type: wire.TypeOutput, ID: r.ID, Stream: "data", Data: []byte("tent")})
		say(wire.Reply{Type: wire.TypeDone, ID: r.ID})
		r = take()
		say(wire.Reply{Type: wire.TypeDone, ID: r.ID, Error: "no such thing"})
		take()
		say(wire.Reply{Type: wire.TypeHello, Hello: &wire.Hello{BootID: "2"}})
		r = take()
		say(wire.Reply{Type: wire.TypeAck, ID: r.ID})
		guest.Close()
	}()
	ctx := t.Context()
	if got, err := c.callData(ctx, wire.OpRead, wire.ReadArgs{}); err != nil || string(got) != "content" {
		t.Errorf("callData = %q, %v; want content", got, err)
	}
	for _, want := range []string{
		"guest: crash: no such thing", "crash: " + ErrRestarted.Error(), "crash: " + ErrEnded.Error(), ErrEnded.Error(),
	} {
		if err := c.call(ctx, wire.OpCrash, wire.CrashArgs{}, nil, nil); err == nil || err.Error() != want {
			t.Errorf("call = %v; want %s", err, want)
		}
	}
	if hello := <-c.hellos; hello.BootID != "2" {
		t.Errorf("hello = %+v", hello)
	}
}

func TestLock(t *testing.T) {
	c := cache{t.TempDir()}
	unlock, err := c.lock(t.Context(), "x")
	if err != nil {
		t.Fatal(err)
	}
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := c.lock(cancelled, "x"); err == nil {
		t.Error("the lock was taken twice")
	}
	unlock()
	if unlock, err = c.lock(t.Context(), "x"); err != nil {
		t.Fatal(err)
	}
	unlock()
}

func TestCountIn(t *testing.T) {
	n := &Nonce{Value: []byte(strings.Repeat("n", wire.NonceSize)), PageSize: 4096, Phys: make([]uint64, 3)}
	f, err := os.CreateTemp(t.TempDir(), "dump")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	put := func(index uint64, at int64, spoil int) {
		page := make([]byte, n.PageSize)
		wire.FillNoncePage(page, n.Value, index)
		if spoil >= 0 {
			page[spoil]++
		}
		if _, err := f.WriteAt(page, at); err != nil {
			t.Fatal(err)
		}
	}
	put(0, 8<<20, -1)
	put(0, 9<<20, -1)      // the same one
	put(2, 64<<20, -1)     // after a hole
	put(1, 65<<20, 4000)   // damaged
	put(1, 66<<20+512, -1) // not at a page
	put(7, 67<<20, -1)     // not one of ours
	if got, err := n.CountIn(f); err != nil || got != 2 {
		t.Errorf("CountIn = %d, %v; want 2", got, err)
	}
	if err := f.Truncate(1 << 30); err != nil {
		t.Fatal(err)
	}
	if got, err := n.CountIn(f); err != nil || got != 2 {
		t.Errorf("CountIn with a hole at the end = %d, %v; want 2", got, err)
	}
}
