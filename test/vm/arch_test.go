package vm

import (
	"testing"

	"github.com/gokexec/gokexec/internal/vmlab"
)

// archMachine is crashMachine for other architectures, with gokexec, the kernel
// and the capture initramfs, which is made on this one, and nothing else.
func archMachine(t *testing.T, k *vmlab.Kernel) vmlab.Config {
	t.Helper()
	return vmlab.Config{
		Kernel: k, Memory: 512, CrashKernel: "128M",
		Disks: []vmlab.Disk{{}},
		Files: []vmlab.File{
			vmlab.Executable("/bin/gokexec", vmlab.BuildTest(t, "./cmd/gokexec", k.Arch)),
			{Path: guestKernel, Source: k.Image},
			{Path: guestInitrd, Source: captureInitramfs(t, k, "--set", "nvme", "raw:/dev/nvme0n1")},
		},
	}
}
