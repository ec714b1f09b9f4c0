package loader

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gokexec/gokexec/internal/imagetest"
	"github.com/gokexec/gokexec/pkg/machine"
	"github.com/gokexec/gokexec/pkg/plan"
)

func specOf(t *testing.T, b *bench, initrd []byte) *plan.Spec {
	t.Helper()
	spec := &plan.Spec{Kind: machine.Crash, Kernel: plan.FromFile(filepath.Join(b.dir, "vmlinuz")), Initrd: plan.FromFile(filepath.Join(b.dir, "initrd"))}
	for name, data := range map[string][]byte{"vmlinuz": imagetest.SmallBzImage().Bytes(), "initrd": initrd} {
		if err := os.WriteFile(filepath.Join(b.dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return spec
}

// An initrd that was taken as it is, and has not changed, does not keep a reload or a restore from
// being made because the kernel was written anew.
func TestRefuseChangedOnlyWhatChanged(t *testing.T) {
	b := newBench(t)
	host, err := machine.ReadHost(b.Root, b.Arch)
	if err != nil {
		t.Fatal(err)
	}
	in, p := b.opened(t, specOf(t, b, []byte("no initramfs")))
	if err := b.refuseChanged(host, in, p, []string{p.Kernel.Path}); err != nil {
		t.Errorf("refuseChanged(kernel) = %v; want the initrd left alone", err)
	}
	if err := b.refuseChanged(host, in, p, []string{p.Initrd.Path}); err == nil || !strings.Contains(err.Error(), "what is loaded is kept") {
		t.Errorf("refuseChanged(initrd) = %v; want it refused", err)
	}
	if err := b.refuseRestored(host, in, p, []string{p.Initrd.Path}); err == nil {
		t.Error("refuseRestored(initrd) = nil; want it refused")
	}
}
