package kdumpfile

import (
	"github.com/gokexec/gokexec/pkg/vmcore"
)

// described is a dump with a VMCOREINFO from elsewhere.
type described struct {
	Dump
	info  *vmcore.VMCoreInfo
	space *vmcore.AddressSpace
}

// Describe returns the dump with what another file says about its kernel, for one that has no
// VMCOREINFO itself.
func Describe(d Dump, info *vmcore.VMCoreInfo) Dump {
	return &described{Dump: d, info: info, space: vmcore.NewAddressSpace(d.Platform(), info, d, vmcore.Hints{})}
}

// VMCoreInfo returns what the other file says.
func (d *described) VMCoreInfo() (*vmcore.VMCoreInfo, error) { return d.info, nil }

// ReadVirtAt reads as the dump does, and where that doesn't know an address, by the kernel's mappings that the
// VMCOREINFO tells.
func (d *described) ReadVirtAt(b []byte, addr uint64) (int, error) {
	n, err := d.Dump.ReadVirtAt(b, addr)
	for n < len(b) {
		if addr+uint64(n) < addr {
			return n, err
		}
		m, terr := d.space.ReadRun(b[n:], addr+uint64(n))
		if n += m; terr != nil {
			return n, terr
		}
		if m == 0 {
			return n, err
		}
	}
	return n, nil
}

// undescribed is the dump itself.
func undescribed(d Dump) Dump {
	for {
		w, ok := d.(*described)
		if !ok {
			return d
		}
		d = w.Dump
	}
}
