package storage

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/gokexec/gokexec/internal/disktest"
	"github.com/gokexec/gokexec/pkg/capture"
)

// Without udev /dev/mapper has nodes, and not links to those of the kernel's names.
func TestStackNode(t *testing.T) {
	b := newBench(t)
	b.pvs(1)
	b.mapped(0, "vg-other", lvm+"o", []string{"0 4096 linear {sda2} 8192"})
	b.mapped(1, "vg-var", lvm, []string{"0 4096 linear {sda2} 2048"}, disktest.Btrfs(dataUUID, 1, 1))
	node := filepath.Join(b.dir, "dev/mapper/vg-var")
	if err := os.Remove(node); err != nil {
		t.Fatal(err)
	}
	b.file("dev/mapper/vg-var", "")
	b.mount("40 22 0:50 / /data rw - btrfs /dev/mapper/vg-var rw,subvolid=5,subvol=/")
	b.mkdir("data/crash")
	r, err := b.Resolve(t.Context(), capture.Target{Type: capture.TargetDirectory, Path: "/data/crash"})
	if err != nil || len(r.on()) != 1 || r.on()[0] != "dm-1" {
		t.Errorf("Resolve = %+v, %v; want dm-1", r, err)
	}
	if _, err := b.blockByNode("/dev/mapper/gone"); err == nil {
		t.Error("a map that is not there is found")
	}
}
