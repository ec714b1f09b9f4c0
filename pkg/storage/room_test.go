package storage

import (
	"context"
	"errors"
	"testing"

	"github.com/gokexec/gokexec/internal/disktest"
	"github.com/gokexec/gokexec/pkg/capture"
)

func TestRoom(t *testing.T) {
	b := newBench(t)
	b.disk(pci + "0000:00:05.0/virtio2/block/vda")
	b.disk(pci+"0000:00:06.0/virtio3/block/vdb", disktest.Ext4(dataUUID, ""))
	b.mkdir("var/crash")
	room := func(text string) (int64, error) {
		t.Helper()
		target, err := capture.ParseTarget(text)
		if err != nil {
			t.Fatal(err)
		}
		r, err := b.Resolve(context.Background(), target)
		if err != nil {
			t.Fatal(err)
		}
		s, err := b.Room(r)
		return s.Available, err
	}
	space, err := capture.NewSystem().Space(b.dir)
	if err != nil {
		t.Skipf("the directory for tests can't tell its room: %v", err)
	}
	if n, err := room("/var/crash"); err != nil || n > 2*space.Available || n < space.Available/2 {
		t.Errorf("Room of a directory = %d, %v; its filesystem has about %d", n, err, space.Available)
	}
	if n, err := room("raw:/dev/vda"); err != nil || n != 2<<20 {
		t.Errorf("Room of a device of 2 MiB = %d, %v", n, err)
	}
	if n, err := room("fs:UUID=" + dataUUID); !errors.Is(err, ErrNotMounted) {
		t.Errorf("Room of a filesystem that is not mounted = %d, %v; want ErrNotMounted", n, err)
	}
	if n, err := b.Room(&Resolved{}); err == nil {
		t.Errorf("Room of no device = %+v", n)
	}
}
