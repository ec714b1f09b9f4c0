package vm

import (
	"testing"

	"github.com/gokexec/gokexec/internal/vmlab"
)

// The main job on loong64, whose kernels are told all by the command line, by kexec_load: Debian's have nothing else.
func TestVMBuiltLoongArch(t *testing.T) {
	vmlab.BuiltMatrix(t, func(t *testing.T, k *vmlab.Kernel) {
		cfg := archMachineFor(t, k)
		cfg.Memory, cfg.CPUs, cfg.CrashKernel = 1536, 1, "384M"
		g := vmlab.Boot(t, cfg)
		archLoad(t, g)
		crashFiltered(t, g)
	}, "sid-loong64")
}
