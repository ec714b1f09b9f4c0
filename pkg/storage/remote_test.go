package storage

import (
	"context"
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/gokexec/gokexec/pkg/capture"
	"github.com/gokexec/gokexec/pkg/network"
)

// fakeViewer is a machine with one interface.
type fakeViewer struct {
	link network.Interface
	down bool
}

func (v *fakeViewer) Interfaces() ([]network.Interface, error) {
	return []network.Interface{v.link}, nil
}

func (v *fakeViewer) Addresses(int) ([]network.Address, error) {
	return []network.Address{{Prefix: netip.MustParsePrefix("198.51.100.7/24"), Usable: true}}, nil
}

func (v *fakeViewer) Route(netip.Addr) (network.Hop, error) {
	if v.down {
		return network.Hop{}, syscall.ENETUNREACH
	}
	return network.Hop{Index: 2, From: netip.MustParseAddr("198.51.100.7")}, nil
}

func (v *fakeViewer) Behind(int, netip.Addr) (int, error) { return 0, nil }

func (v *fakeViewer) BridgeVLANs() (map[int][]network.PortVLAN, error) { return nil, nil }

func TestResolveRemote(t *testing.T) {
	root := t.TempDir()
	device := filepath.Join(root, "sys/devices/pci0000:00/0000:00:03.0/virtio1")
	err := errors.Join(os.MkdirAll(device+"/net/eth0", 0o755), os.MkdirAll(root+"/sys/class/net", 0o755), os.MkdirAll(root+"/proc/sys/kernel", 0o755),
		os.Symlink("../../devices/pci0000:00/0000:00:03.0/virtio1/net/eth0", root+"/sys/class/net/eth0"), os.Symlink("../../../virtio1", device+"/net/eth0/device"),
		os.WriteFile(root+"/proc/sys/kernel/hostname", []byte("node7\n"), 0o644))
	if err != nil {
		t.Fatal(err)
	}
	viewer := &fakeViewer{link: network.Interface{Index: 2, Name: "eth0", Type: "ether", MAC: "52:54:00:12:34:56", Permanent: "52:54:00:12:34:56", MTU: 1500}}
	m := New(Options{Root: root, Network: func() (network.Viewer, error) { return viewer, nil },
		Lookup: func(context.Context, string) ([]netip.Addr, error) {
			return []netip.Addr{netip.MustParseAddr("198.51.100.9")}, nil
		}})
	target, err := capture.ParseTarget("nfs:nas:/dumps")
	if err != nil {
		t.Fatal(err)
	}
	r, err := m.Resolve(t.Context(), target)
	if err != nil {
		t.Fatal(err)
	}
	if r.Target.Network == nil || r.Target.Machine != "node7" || !slices.Equal(r.Interfaces, []string{"eth0"}) || !slices.Equal(r.Modules, []string{"nfs"}) || !slices.Equal(r.Optional, []string{"nfsv4", "nfsv3"}) {
		t.Errorf("%+v", r)
	}
	if err := (capture.Config{Targets: []capture.Target{r.Target}}).ValidateInit(); err != nil {
		t.Errorf("a capture kernel refuses it: %v", err)
	}
	if err := (capture.Config{Targets: []capture.Target{target}}).ValidateInit(); err == nil {
		t.Error("a capture kernel takes a target to which the way is not recorded")
	}
	if _, err := m.Room(r); !errors.Is(err, ErrNotMounted) {
		t.Errorf("room: %v", err)
	}
	viewer.down = true
	var refusal *Refusal
	if _, err := m.Resolve(t.Context(), target); err == nil || errors.As(err, &refusal) {
		t.Errorf("without a route: %v; want an error that is no refusal", err)
	}
	again, err := m.RecordedTarget(target, r.Target.Network)
	if err != nil || again.Target != r.Target || !slices.Equal(again.Modules, r.Modules) || !slices.Equal(again.Interfaces, r.Interfaces) {
		t.Errorf("as recorded: %+v, %v; want %+v", again, err, r)
	}
	viewer.down = false
	viewer.link.Kind = "wireguard"
	if _, err := m.Resolve(t.Context(), target); !errors.As(err, &refusal) || !strings.Contains(err.Error(), "WireGuard") {
		t.Errorf("error %v; want a refusal", err)
	}
	if _, err := Elsewhere(t.Context(), target); !errors.As(err, &refusal) {
		t.Errorf("of another machine: %v; want a refusal", err)
	}
	if _, err := New(Options{Root: root}).Resolve(t.Context(), target); err == nil {
		t.Error("a tree has a network")
	}
}
