package check

import (
	"io/fs"

	"github.com/gokexec/gokexec/pkg/advice"
	"github.com/gokexec/gokexec/pkg/initramfs"
	"github.com/gokexec/gokexec/pkg/machine"
	"github.com/gokexec/gokexec/pkg/plan"
	"github.com/gokexec/gokexec/pkg/reservation"
)

// Reservation tells whether the crash memory is enough for a capture of this machine. p and initrd are
// what is to be loaded, nil where that is not known: then what is usual counts. Without crash memory it says
// nothing, since plan.CheckCrashMemory does.
func Reservation(root fs.FS, host *machine.Host, p *plan.Plan, initrd *initramfs.Contents) []advice.Finding {
	if len(host.Crash) == 0 {
		return nil
	}
	m := reservation.Of(root, host)
	if p != nil {
		m.CPUs = p.Spec.CPUs
		if p.Image.MemSize > 0 {
			m.Image = p.Image.MemSize
		}
		if initrd != nil {
			m.Packed, m.Unpacked = p.InitrdSize(), initrd.Unpacked
		}
	}
	return []advice.Finding{reservation.Check(m)}
}
