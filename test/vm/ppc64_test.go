package vm

import (
	"slices"
	"strings"
	"testing"

	"github.com/gokexec/gokexec/internal/vmlab"
)

// ppc64Load loads as a user would: Debian's kernels for ppc64le have no kexec_file_load. The header differs from the
// machine's in the memory that the purgatory copies.
func ppc64Load(t *testing.T, g *vmlab.Guest, more ...string) {
	t.Helper()
	r := g.Run(append([]string{gokexec, "load", "--crash", guestKernel, "--initrd", guestInitrd, "--append", g.VM.Config.Kernel.ConsoleArg()}, more...)...)
	if r.Code != 0 || !strings.Contains(r.Stdout, "by kexec_load") || r.Stderr != "" {
		t.Fatalf("load: exit code %d\n%s%s\nwant 0, by kexec_load, and no warning", r.Code, r.Stdout, r.Stderr)
	}
	if s := readStatus(t, g); !s.CrashLoaded || s.Header.Accuracy != "accurate" {
		t.Errorf("status after the load: %+v; want an accurate header", s)
	}
	loaded, built := readHeader(t, g, "show", "--loaded"), readHeader(t, g, "build")
	if !slices.Equal(loaded.CPUNotes, built.CPUNotes) || loaded.Info != built.Info {
		t.Errorf("the loaded header is %+v; want %+v", loaded, built)
	}
}

// The main job on ppc64le by kexec_load.
func TestVMBuiltPPC64(t *testing.T) {
	vmlab.BuiltMatrix(t, func(t *testing.T, k *vmlab.Kernel) {
		cfg := archMachine(t, k)
		cfg.Memory, cfg.CrashKernel = 1024, "320M"
		g := vmlab.Boot(t, cfg)
		ppc64Load(t, g)
		crashSegments(t, g)
	}, "sid-ppc64le")
}
