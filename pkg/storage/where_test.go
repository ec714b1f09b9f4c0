package storage

import (
	"context"
	"errors"
	"testing"

	"github.com/gokexec/gokexec/internal/disktest"
	"github.com/gokexec/gokexec/pkg/capture"
)

func TestWhere(t *testing.T) {
	b := newBench(t)
	b.disk(pci + "0000:00:05.0/virtio2/block/vda")
	b.disk(pci+"0000:00:06.0/virtio3/block/vdb", disktest.Ext4(dataUUID, ""))
	b.mkdir("var/crash", "data", "sub")
	where := func(text, options string) (string, string, error) {
		t.Helper()
		target, err := capture.ParseTarget(text)
		if err != nil {
			t.Fatal(err)
		}
		target.MountOptions = options
		return b.Where(context.Background(), target)
	}
	if _, _, err := where("fs:UUID="+dataUUID+":/dumps", ""); !errors.Is(err, ErrNotMounted) {
		t.Errorf("Where of a filesystem that is not mounted: %v; want ErrNotMounted", err)
	}
	b.mount("40 22 8:4 /dumps /data rw - ext4 /dev/vdb rw", "41 22 8:4 /other /sub rw - ext4 /dev/vdb rw")
	for _, tt := range []struct{ target, dir, node string }{
		{"/var/crash", "/var/crash", ""},
		{"fs:UUID=" + rootUUID + ":/var/crash", "/var/crash", ""},
		{"fs:UUID=" + dataUUID + ":/dumps", "/data", ""},
		{"fs:UUID=" + dataUUID + ":/dumps/here", "/data/here", ""},
		{"raw:/dev/vda", "", "/dev/vda"},
	} {
		if dir, node, err := where(tt.target, ""); err != nil || dir != tt.dir || node != tt.node {
			t.Errorf("Where(%s) = %q, %q, %v; want %q, %q", tt.target, dir, node, err, tt.dir, tt.node)
		}
	}
	// By udev's link the device is not read.
	b.link("dev/disk/by-uuid/1234-5678", "../../vdb")
	if dir, _, err := where("fs:UUID=1234-5678:/dumps", ""); err != nil || dir != "/data" {
		t.Errorf("Where by a link = %q, %v; want /data", dir, err)
	}
	for _, text := range []string{"fs:UUID=" + dataUUID + ":/dumps2", "fs:UUID=" + dataUUID + ":/", "raw:/dev/none", "fs:UUID=00000000-0000-0000-0000-000000000001:/"} {
		if dir, node, err := where(text, ""); err == nil {
			t.Errorf("Where(%s) = %q, %q; want an error", text, dir, node)
		}
	}
}

func TestSubvolumeOf(t *testing.T) {
	mounts := Mounts{{Super: "rw,space_cache=v2,subvolid=257,subvol=/a,b"}}
	for options, want := range map[string]string{"": "", "subvolid=5": "", "compress=zstd,subvol=/root": "/root", "subvolid=257": "/a,b"} {
		if got := subvolumeOf(options, mounts); got != want {
			t.Errorf("subvolumeOf(%q) = %q; want %q", options, got, want)
		}
	}
}
