package storage

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gokexec/gokexec/pkg/capture"
)

// A path that does not answer is described by another one to the same disk.
func TestStackDeadPath(t *testing.T) {
	b := newBench(t)
	multipath(b, pv('m'))
	b.mapped(1, "vg-var", lvm, []string{"0 4096 linear {dm-0} 2048"}, ext4())
	onData(b, "dm-1")
	for _, dead := range []string{"sdb", "sdc"} {
		if err := os.Rename(filepath.Join(b.dir, "dev", dead), filepath.Join(b.dir, "dead")); err != nil {
			t.Fatal(err)
		}
		r, err := b.Resolve(t.Context(), capture.Target{Type: capture.TargetDirectory, Path: "/data/crash"})
		if err != nil || !strings.Contains(strings.Join(r.Warnings, " "), dead+" does not answer") || r.Target.Stack.Layers[0].Disk.Ref != "WWID=naa.6000" || r.Target.Stack.Layers[1].Disk.Ref != "WWID=naa.6000" {
			t.Errorf("without %s: %+v, %v", dead, r, err)
		}
		if err := os.Rename(filepath.Join(b.dir, "dead"), filepath.Join(b.dir, "dev", dead)); err != nil {
			t.Fatal(err)
		}
	}
}

// A disk without a name of its own is found by what it holds, if no other holds that.
func TestStackIdentity(t *testing.T) {
	for _, tt := range []struct {
		name, want string
		warned     bool
		more       func(*bench)
	}{
		{"by its contents", "UUID=vvvvvv-vvvv-vvvv-vvvv-vvvv-vvvv-vvvvvv", false, func(*bench) {}},
		{"a copy", "/dev/vda", true, func(b *bench) { b.disk(pci+"0000:00:06.0/virtio3/block/vdb", pv('v')) }},
		{"a serial number", "SERIAL=one", false, func(b *bench) { b.file("sys/class/block/vda/serial", "one") }},
		{"a serial number, twice", "UUID=vvvvvv-vvvv-vvvv-vvvv-vvvv-vvvv-vvvvvv", false, func(b *bench) {
			b.disk(pci+"0000:00:06.0/virtio3/block/vdb", pv('w'))
			b.file("sys/class/block/vda/serial", "one")
			b.file("sys/class/block/vdb/serial", "one")
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := newBench(t)
			b.disk(pci+"0000:00:05.0/virtio2/block/vda", pv('v'))
			tt.more(b)
			b.mapped(0, "vg-var", lvm, []string{"0 4096 linear {vda} 2048"}, ext4())
			onData(b, "dm-0")
			r, err := b.Resolve(t.Context(), capture.Target{Type: capture.TargetDirectory, Path: "/data/crash"})
			if err != nil || r.Target.Stack.Layers[0].Disk.Ref != tt.want || (len(r.Warnings) > 0) != tt.warned {
				t.Errorf("Resolve = %+v, %v; want %s", r, err, tt.want)
			}
		})
	}
}
