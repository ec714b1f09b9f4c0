package capture

import (
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gokexec/gokexec/pkg/network"
)

// wayTo is a record of a card with a static address.
func wayTo(host string, addresses ...string) *network.Record {
	h := network.Host{Name: host}
	for _, a := range addresses {
		h.Addresses = append(h.Addresses, netip.MustParseAddr(a))
	}
	return &network.Record{Version: network.Version, Hosts: []network.Host{h}, Links: []network.Link{{
		Name: "eth0", NIC: &network.NIC{MAC: fakeMAC, Path: "pci0000:00/0000:00:03.0"}, Addresses: []netip.Prefix{netip.MustParsePrefix("198.51.100.7/24")}}}}
}

func nfsConfig(options string) Config {
	return Config{Format: FormatELF, DumpLevel: "0", NetworkTimeoutSeconds: 1, DeviceTimeoutSeconds: 1, Targets: []Target{
		{Type: TargetNFS, Server: "nas", Path: "/dumps", MountOptions: options, Machine: "node7", Network: wayTo("nas", "198.51.100.9", "198.51.100.10")},
		{Type: TargetRaw, Device: "/dev/vda"},
	}}
}

func nfsSystem(t *testing.T) *fakeSystem {
	s := newFakeSystem(t)
	s.file(t, "/proc/vmcore", string(testVMCore(t)))
	s.device(t, "vda", 16<<20)
	return s
}

// The network is brought up, then the newest version that the server has is mounted.
func TestNFS(t *testing.T) {
	s := nfsSystem(t)
	s.mountFails = func(_, data string) error {
		if strings.HasPrefix(data, "vers=4.2") {
			return syscall.EPROTONOSUPPORT
		}
		return nil
	}
	var said strings.Builder
	res, err := Run(t.Context(), nfsConfig("port=2050,rsize=65536"), Options{System: s, Console: &said})
	if err != nil || res.Outcome != Complete || res.Location != "/node7/"+testDirName {
		t.Fatalf("%+v, %v; said %s", res, err, said.String())
	}
	const point = "/run/gokexec/target/0"
	s.order(t, "up 2", "address 2 198.51.100.7/24",
		"mount nas:/dumps "+point+" nfs4 vers=4.2,addr=198.51.100.9,soft,timeo=1,retrans=2,port=2050,rsize=65536",
		"mount nas:/dumps "+point+" nfs4 vers=4.1,addr=198.51.100.9,soft,timeo=1,retrans=2,port=2050,rsize=65536",
		"unmount "+point)
	if info, err := os.Stat(s.path(point + "/node7/" + testDirName + "/vmcore")); err != nil || info.Size() == 0 {
		t.Errorf("the dump: %v, %v", info, err)
	}
}

// Whatever is wrong with the way or the server, the next target has the dump, in time.
func TestNFSFails(t *testing.T) {
	for _, tt := range []struct {
		name   string
		spoil  func(*fakeSystem)
		config func(*Config)
		want   string // in the result's errors
		event  string // that must have happened
	}{
		{"no card", nil, func(c *Config) { c.Targets[0].Network.Links[0].NIC.MAC = "52:54:00:00:00:01" }, "no interface with the address 52:54:00:00:00:01", ""},
		{"no carrier", func(s *fakeSystem) { s.noCarrier = true }, nil, "no carrier within 1s", ""},
		{"no lease", nil, func(c *Config) { l := &c.Targets[0].Network.Links[0]; l.Addresses, l.DHCP = nil, true }, "no DHCP server has given one within 1s", ""},
		{"no answer at any address", func(s *fakeSystem) { s.mountErr["nfs4"] = syscall.ETIMEDOUT }, nil, "NFS 4.2 at 198.51.100.10", ""},
		{"refused", func(s *fakeSystem) {
			s.mountErr["nfs4"], s.mountErr["nfs"] = syscall.ECONNREFUSED, syscall.ECONNREFUSED
		}, nil, "no NFS server runs there", ""},
		{"not exported", func(s *fakeSystem) { s.mountErr["nfs4"], s.mountErr["nfs"] = syscall.EACCES, syscall.EACCES }, nil, "does not export it", ""},
		{"mount hangs", func(s *fakeSystem) { s.hangIn, s.hang = "Mount", make(chan struct{}) }, nil, "no progress", "detach /run/gokexec/target/0"},
		{"write fails", func(s *fakeSystem) {
			s.faults["/run/gokexec/target/0/node7/"+testDirName+"/vmcore.incomplete"] = &fault{write: func(int64) error { return syscall.EIO }}
		}, nil, "input/output error", "detach /run/gokexec/target/0"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := nfsSystem(t)
			if tt.spoil != nil {
				tt.spoil(s)
			}
			cfg := nfsConfig("")
			if tt.config != nil {
				tt.config(&cfg)
			}
			begin := time.Now()
			res, err := Run(t.Context(), cfg, Options{System: s})
			if err != nil || res.Target != "raw:/dev/vda" || res.Outcome != Complete {
				t.Fatalf("%+v, %v; want the dump on the second target", res, err)
			}
			if all := strings.Join(res.Errors, "\n"); !strings.Contains(all, tt.want) {
				t.Errorf("errors %q; want %q", all, tt.want)
			}
			if tt.event != "" && !s.has(tt.event) {
				t.Errorf("no %q among %q", tt.event, s.events)
			}
			if took := time.Since(begin); took > 20*time.Second {
				t.Errorf("it took %v", took)
			}
		})
	}
}

func TestNFSOptions(t *testing.T) {
	addr := netip.MustParseAddr("2001:db8::9")
	for _, tt := range []struct{ options, want string }{
		{"", "vers=4.2,addr=2001:db8::9,soft,timeo=75,retrans=2"},
		{"vers=3,mountport=20048", "vers=3,addr=2001:db8::9,soft,timeo=75,retrans=2,nolock,mountport=20048"},
		{"nfsvers=4.0", "vers=4.0,addr=2001:db8::9,soft,timeo=75,retrans=2"},
		{"vers=4", "vers=4.2,addr=2001:db8::9,soft,timeo=75,retrans=2"},
	} {
		versions, err := nfsVersions(tt.options)
		if err != nil {
			t.Errorf("%s: %v", tt.options, err)
			continue
		}
		if got := nfsData(versions[0], addr, tt.options, 45*time.Second); got != tt.want {
			t.Errorf("%s: %s; want %s", tt.options, got, tt.want)
		}
	}
	for _, bad := range []string{"hard", "soft", "addr=1.2.3.4", "timeo=600", "sec=krb5p", "proto=rdma", "vers=2", "vers=5", "xprtsec=tls", "ro"} {
		if err := (Target{Type: TargetNFS, Server: "nas", Path: "/x", MountOptions: bad}).Validate(); err == nil {
			t.Errorf("option %s is accepted", bad)
		}
	}
	for options, want := range map[string]string{"": "[nfs] [nfsv4 nfsv3]", "vers=3": "[nfs nfsv3] []", "vers=4.1": "[nfs nfsv4] []"} {
		required, optional := Target{Type: TargetNFS, MountOptions: options}.RemoteModules()
		if got := fmt.Sprint(required, optional); got != want {
			t.Errorf("%q needs %s; want %s", options, got, want)
		}
	}
}

// A server that was given up is not asked again.
func TestHostFiles(t *testing.T) {
	s := newFakeSystem(t)
	s.file(t, "/mnt/x", "content")
	h := &hostFiles{Files: s}
	f, err := h.OpenFile("/mnt/x", os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := h.Stat("/mnt/y"); !errors.Is(err, fs.ErrNotExist) || h.gone() != nil {
		t.Fatalf("an absent file: %v, %v", err, h.gone())
	}
	s.faults["/mnt/x"] = &fault{stream: func() error { return syscall.ETIMEDOUT }}
	g, err := h.OpenFile("/mnt/x", os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := g.Write([]byte("a")); !errors.Is(err, syscall.ETIMEDOUT) {
		t.Fatalf("write: %v", err)
	}
	for name, err := range map[string]error{"sync": f.Sync(), "mkdir": h.Mkdir("/mnt/z", 0o700), "rename": h.Rename("/mnt/x", "/mnt/y"), "close": f.Close()} {
		if !errors.Is(err, syscall.ETIMEDOUT) || !strings.Contains(err.Error(), "given up") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// What try writes is read back and removed, and nothing stays.
func TestTryNFS(t *testing.T) {
	s := newFakeSystem(t)
	o := &opening{sys: s, cfg: Config{NetworkTimeoutSeconds: 1}.withDefaults(), mountPoint: "/run/try", touch: func() {}, say: t.Logf, standing: &standing{},
		target: Target{Type: TargetNFS, Server: "127.0.0.1", Path: "/dumps", Machine: "node7"}}
	if err := tryWith(t.Context(), nfsKind(), o); err != nil {
		t.Fatal(err)
	}
	if left, err := os.ReadDir(s.path("/run/try")); len(left) != 0 || err != nil {
		t.Errorf("left over: %v, %v", left, err)
	}
	s.order(t, "mount 127.0.0.1:/dumps /run/try nfs4", "unmount /run/try")
	s.mountErr["nfs4"] = syscall.EACCES
	s.mountErr["nfs"] = syscall.EACCES
	if err := tryWith(t.Context(), nfsKind(), o); !errors.Is(err, syscall.EACCES) || !strings.Contains(err.Error(), "does not export it") {
		t.Errorf("error %v", err)
	}
}
