package vm

import (
	"testing"

	"github.com/gokexec/gokexec/internal/vmlab"
)

// The main job on ppc64le by kexec_load: Debian's kernels have nothing else. The crash is on either of two CPUs.
func TestVMCrashPPC64(t *testing.T) {
	vmlab.MoreArchMatrix(t, func(t *testing.T, k *vmlab.Kernel) {
		cfg := archMachine(t, k)
		cfg.Memory, cfg.CrashKernel = 1024, "320M"
		g := vmlab.Boot(t, cfg)
		archLoad(t, g)
		crashSegments(t, g)
	}, "sid-ppc64le")
}
