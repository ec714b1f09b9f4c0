package loader

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/gokexec/gokexec/internal/imagetest"
	"github.com/gokexec/gokexec/pkg/machine"
	"github.com/gokexec/gokexec/pkg/plan"
)

// The user's own file goes to the kernel, so that its attributes count: that which was planned, whatever
// the path names by then. It stays usable after the call.
func TestHandleIsTheFile(t *testing.T) {
	b := newBench(t)
	path := filepath.Join(b.dir, "kernel")
	if err := os.WriteFile(path, imagetest.SmallBzImage().Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	was, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	in, p := b.opened(t, &plan.Spec{Kind: machine.Crash, Kernel: plan.FromFile(path)})
	if err := os.WriteFile(path+".new", []byte("another"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		f, done, err := handleOf(p.Kernel, in.Kernel)
		if err != nil {
			t.Fatal(err)
		}
		if is, err := f.Stat(); err != nil || !os.SameFile(was, is) {
			t.Errorf("the kernel gets another file (%v); want that which was planned", err)
		}
		done()
	}
}

// Bytes in memory go through a file that is not open for writing (ETXTBSY).
func TestHandleOfMemory(t *testing.T) {
	b := newBench(t)
	kernel := imagetest.SmallBzImage().Bytes()
	packed := imagetest.Compress(t, "gzip", kernel)
	in, p := b.opened(t, &plan.Spec{Kind: machine.Crash, Kernel: plan.FromBytes("vmlinuz.gz", packed), Initrd: plan.FromBytes("initrd", []byte("initrd"))})
	for _, tt := range []struct {
		payload *plan.Payload
		input   *plan.Input
		want    []byte
	}{{p.Kernel, in.Kernel, kernel}, {p.Initrd, in.Initrd, []byte("initrd")}} {
		f, done, err := handleOf(tt.payload, tt.input)
		if err != nil {
			t.Fatal(err)
		}
		if mode, err := unix.FcntlInt(f.Fd(), unix.F_GETFL, 0); err != nil || mode&unix.O_ACCMODE != unix.O_RDONLY {
			t.Errorf("%s: the handle is not read-only (%#x, %v)", tt.payload.Path, mode, err)
		}
		if got, err := io.ReadAll(f); err != nil || !bytes.Equal(got, tt.want) {
			t.Errorf("%s: the kernel would read %d bytes, %v; want %d", tt.payload.Path, len(got), err, len(tt.want))
		}
		if done(); f.Close() == nil {
			t.Errorf("%s: the file in memory stays open", tt.payload.Path)
		}
	}
}

// opened is a load up to the call.
func (b *bench) opened(t *testing.T, spec *plan.Spec) (*plan.Inputs, *plan.Plan) {
	t.Helper()
	in, err := plan.Open(spec)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { in.Close() })
	host, err := machine.ReadHost(b.Root, b.Arch)
	if err != nil {
		t.Fatal(err)
	}
	p, err := in.Plan(host, plan.File)
	if err != nil {
		t.Fatal(err)
	}
	return in, p
}
