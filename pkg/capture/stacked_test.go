package capture

import (
	"errors"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"

	"github.com/gokexec/gokexec/internal/disktest"
	"github.com/gokexec/gokexec/pkg/stack"
)

// volume makes a disk with a physical volume and returns the description of a volume on it, which holds an ext4.
func volume(t *testing.T, s *fakeSystem) *stack.Stack {
	t.Helper()
	const offset, size = 1 << 20, 1 << 20
	ext4 := disktest.Ext4(disktest.UUID, "")
	s.device(t, "vdb", 4<<20, func(disk []byte) {
		copy(disk[512:], "LABELONE")
		copy(disk[512+24:], "LVM2 001"+strings.Repeat("a", 32))
		ext4(disk[offset:])
	})
	s.file(t, "/sys/class/block/vdb/serial", "disk-b\n")
	if err := s.sysfs("vdb", 4<<20, stack.Number{Major: 252, Minor: 16}); err != nil {
		t.Fatal(err)
	}
	return &stack.Stack{Version: stack.Version, Tops: []stack.Top{{Layer: 1}}, Layers: []stack.Layer{
		{Name: "vdb", Size: 4 << 20, Disk: &stack.Disk{Ref: "SERIAL=disk-b", Holds: stack.Content{Type: "LVM2_member", UUID: "aaaaaa-aaaa-aaaa-aaaa-aaaa-aaaa-aaaaaa"}}},
		{Name: "dm-0", Size: size, Map: &stack.Map{Name: "vg-var", UUID: "LVM-x", Table: []stack.Row{{Length: size / 512, Type: "linear", Args: "@0 2048"}}}},
	}}
}

// A volume is made before the filesystem is mounted, and removed after it was unmounted.
func TestRunStacked(t *testing.T) {
	s := newFakeSystem(t)
	s.file(t, VMCorePath, string(testVMCore(t)))
	target := Target{Type: TargetFilesystem, Device: "UUID=" + disktest.UUID, Path: "/crash", Stack: volume(t, s)}
	cfg := Config{Targets: []Target{target}, DeviceTimeoutSeconds: 1}
	res, err := Run(t.Context(), cfg, Options{System: s})
	if err != nil || res.Outcome != Complete {
		t.Fatalf("%+v, %v; want a complete dump", res, err)
	}
	s.order(t, "create vg-var LVM-x", "mount /dev/dm-0 ", "unmount ", "remove vg-var")
}

// What does not match costs the target only, and is taken down.
func TestRunStackedElsewhere(t *testing.T) {
	for name, change := range map[string]func(s *fakeSystem, v *stack.Stack, target *Target){
		"another disk":   func(_ *fakeSystem, v *stack.Stack, _ *Target) { v.Layers[0].Disk.Ref = "SERIAL=disk-c" },
		"other contents": func(_ *fakeSystem, v *stack.Stack, _ *Target) { v.Layers[0].Disk.Holds.UUID = "bbbbbb" },
		"another size":   func(_ *fakeSystem, v *stack.Stack, _ *Target) { v.Layers[0].Size++ },
		"another filesystem": func(_ *fakeSystem, _ *stack.Stack, target *Target) {
			target.Device = "UUID=" + strings.Replace(disktest.UUID, "0", "9", 1)
		},
		"no mount": func(s *fakeSystem, _ *stack.Stack, _ *Target) { s.mountErr["ext4"] = syscall.EIO },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newFakeSystem(t)
				s.file(t, VMCorePath, string(testVMCore(t)))
				s.device(t, "vda", 16<<20)
				v := volume(t, s)
				target := Target{Type: TargetFilesystem, Device: "UUID=" + disktest.UUID, Stack: v}
				change(s, v, &target)
				cfg := Config{Targets: []Target{target, {Type: TargetRaw, Device: "/dev/vda"}}, DeviceTimeoutSeconds: 1}
				res, err := Run(t.Context(), cfg, Options{System: s})
				if err != nil || res.Outcome != Complete || res.Target != "raw:/dev/vda" {
					t.Fatalf("%+v, %v; want a complete dump on the second target", res, err)
				}
				for _, m := range s.maps {
					if m.name != "" {
						t.Errorf("the map %s is left", m.name)
					}
				}
			})
		})
	}
}

// The room of a thin pool below bounds the dump, whatever the filesystem has.
func TestPlaceRoom(t *testing.T) {
	s := newFakeSystem(t)
	room := int64(1000)
	p := &place{room: func() (int64, bool, error) { return room, true, nil }}
	if space, err := p.files(s).Space("/"); err != nil || space.Available != 1000 {
		t.Errorf("room %+v, %v; want 1000 bytes", space, err)
	}
	room = 1 << 60
	if space, err := p.files(s).Space("/"); err != nil || space.Available != 1<<50 {
		t.Errorf("room %+v, %v; want what the filesystem has", space, err)
	}
	p.room = func() (int64, bool, error) { return 0, true, syscall.EIO }
	if _, err := p.files(s).Space("/"); !errors.Is(err, syscall.EIO) {
		t.Errorf("room that can't be told: %v", err)
	}
}

// A target that hangs is left, and what it lies on is taken down as far as that is possible.
func TestRunStackedHangs(t *testing.T) { synctest.Test(t, testRunStackedHangs) }

func testRunStackedHangs(t *testing.T) {
	s := newFakeSystem(t)
	s.file(t, VMCorePath, string(testVMCore(t)))
	s.device(t, "vda", 16<<20)
	s.faults[IncompleteName] = &fault{hang: make(chan struct{})}
	defer close(s.faults[IncompleteName].hang)
	target := Target{Type: TargetFilesystem, Device: "UUID=" + disktest.UUID, Stack: volume(t, s)}
	cfg := Config{Targets: []Target{target, {Type: TargetRaw, Device: "/dev/vda"}}, Format: FormatELF, DumpLevel: "0", DeviceTimeoutSeconds: 1, StallTimeoutSeconds: 1}
	res, err := Run(t.Context(), cfg, Options{System: s})
	if err != nil || res.Outcome != Complete || res.Target != "raw:/dev/vda" {
		t.Fatalf("%+v, %v; want a complete dump on the second target", res, err)
	}
	s.order(t, "create vg-var LVM-x", "mount /dev/dm-0 ", "unmount ", "remove vg-var")
}
