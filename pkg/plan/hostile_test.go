package plan

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/gokexec/gokexec/internal/alloctest"
	"github.com/gokexec/gokexec/pkg/bootimage"
	"github.com/gokexec/gokexec/pkg/machine"
	"github.com/gokexec/gokexec/pkg/memmap"
)

// An initrd that is a hole of 1 GiB is not read for a crash memory that it doesn't fit.
func TestHostileInitrd(t *testing.T) {
	path := filepath.Join(t.TempDir(), "initrd")
	if err := errors.Join(os.WriteFile(path, []byte("070701"), 0o600), os.Truncate(path, 1<<30)); err != nil {
		t.Fatal(err)
	}
	host := &machine.Host{MemTotal: 8 << 30, Crash: []memmap.Range{{Start: 1 << 30, End: 1<<30 + 256<<20}}}
	p := &Plan{Image: &bootimage.Image{}, Initrd: &Payload{Path: path, Size: 1 << 30}}
	var err error
	used := alloctest.Bytes(func() { err = p.fits(host, machine.Crash) })
	if !errors.Is(err, bootimage.ErrTooLarge) || used > 1<<20 {
		t.Errorf("fits() = %v, %d bytes were allocated", err, used)
	}
	if err := p.fits(host, machine.Boot); err != nil {
		t.Errorf("fits(boot) = %v", err)
	}
}

func TestUnpackLimit(t *testing.T) {
	crash := []memmap.Range{{Start: 1 << 20, End: 1<<20 + 64<<20}, {Start: 1 << 30, End: 1<<30 + 192<<20}}
	for _, tt := range []struct {
		host *machine.Host
		kind machine.Kind
		want int64
	}{
		{&machine.Host{}, machine.Crash, bootimage.MaxUnpacked},
		{&machine.Host{Crash: crash, MemTotal: 2 << 30}, machine.Crash, 256 << 20},
		{&machine.Host{Crash: crash[:1], MemTotal: 2 << 30}, machine.Crash, minUnpackLimit},
		{&machine.Host{Crash: crash, MemTotal: 1 << 30}, machine.Boot, 512 << 20},
		{&machine.Host{MemTotal: 64 << 30}, machine.Boot, bootimage.MaxUnpacked},
		{&machine.Host{MemTotal: 100 << 20}, machine.Boot, minUnpackLimit},
	} {
		if got := unpackLimit(tt.host, tt.kind); got != tt.want {
			t.Errorf("unpackLimit(%v) of %+v = %d; want %d", tt.kind, tt.host, got, tt.want)
		}
	}
}
