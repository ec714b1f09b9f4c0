package loader

import (
	"bytes"

	"github.com/gokexec/gokexec/pkg/machine"
	"github.com/gokexec/gokexec/pkg/plan"
)

// specBySegments is a load by kexec_load of what is in memory.
func specBySegments(kind machine.Kind, kernel []byte) *plan.Spec {
	return &plan.Spec{Kind: kind, Method: plan.Segments, Kernel: plan.FromBytes("kernel", kernel), Initrd: plan.FromBytes("initrd", bytes.Repeat([]byte("initrd"), 3000)),
		Cmdline: "console=ttyS0", Seed: bytes.Repeat([]byte{7}, plan.SeedSize)}
}
