package loader

import (
	"debug/elf"
	"encoding/binary"
	"io/fs"
	"slices"
	"strconv"
	"strings"

	"github.com/gokexec/gokexec/internal/purgatory"
)

// usesDeviceTree tells the machines whose kernels are told all by a device tree.
func usesDeviceTree(m elf.Machine) bool { return m == elf.EM_AARCH64 || m == elf.EM_RISCV }

// deviceTree reads what a plan for such a machine needs.
func (r hostReader) deviceTree() {
	t, err := readDeviceTree(r.root)
	if err != nil {
		r.h.Unread[fdtPath] = err
		return
	}
	r.h.DeviceTree = t
}

// vmcoreinfoHead is what the VMCOREINFO note has besides a page: two note headers
// and its name, padded (include/linux/vmcore_info.h, VMCOREINFO_NOTE_SIZE).
const vmcoreinfoHead = 2*12 + 12

// pageSize finds the size of a page in bytes. The note's size tells that of
// the machine in a collected tree too; auxv that of the running process.
func (r hostReader) pageSize() uint64 {
	valid := func(n uint64) bool { return slices.Contains([]uint64{4 << 10, 8 << 10, 16 << 10, 64 << 10}, n) }
	if d := r.h.Dump; d != nil && valid(d.VMCoreInfo.Size-vmcoreinfoHead) {
		return d.VMCoreInfo.Size - vmcoreinfoHead
	}
	b, err := fs.ReadFile(r.root, "proc/self/auxv")
	const atPageSize = 6 // AT_PAGESZ (include/uapi/linux/auxvec.h)
	for err == nil && len(b) >= 16 {
		key, value := binary.LittleEndian.Uint64(b), binary.LittleEndian.Uint64(b[8:])
		if key == atPageSize && valid(value) {
			return value
		}
		b = b[16:]
	}
	return pageSize
}

// page is the size of a page in bytes: segments are made of whole ones.
func (h *Host) page() uint64 { return max(h.PageSize, pageSize) }

// pageUp rounds up to whole pages.
func (h *Host) pageUp(n uint64) uint64 { return roundUp(n, h.page()) }

// Values of sysfs for serial ports (include/uapi/linux/serial_core.h and
// include/linux/serial_core.h).
const (
	portAMBA  = 32 // PORT_AMBA, a PL011
	upioMem   = 2
	upioMem32 = 3
)

// serialPorts finds the ports in memory by their names, such as ttyAMA0
// (Documentation/ABI/testing/sysfs-tty).
func (r hostReader) serialPorts() map[string]purgatory.Serial {
	const dir = "sys/class/tty/"
	names, err := fs.Glob(r.root, dir+"tty*/iomem_base")
	if err != nil {
		return nil
	}
	ports := map[string]purgatory.Serial{}
	for _, file := range names {
		name := strings.TrimSuffix(strings.TrimPrefix(file, dir), "/iomem_base")
		read := func(attr string, base int) uint64 {
			v, err := strconv.ParseUint(strings.TrimPrefix(strings.TrimSpace(r.optional(dir+name+"/"+attr)), "0x"), base, 64)
			if err != nil {
				return 0
			}
			return v
		}
		port := purgatory.Serial{Addr: read("iomem_base", 16)}
		switch io, shift := read("io_type", 10), read("iomem_reg_shift", 10); {
		case port.Addr == 0:
			continue
		case read("type", 10) == portAMBA || strings.HasPrefix(name, "ttyAMA"):
			port.Kind = purgatory.SerialPL011
		case io == upioMem && shift == 0:
			port.Kind = purgatory.Serial8250MMIO
		case (io == upioMem32 || io == upioMem) && shift == 2:
			port.Kind = purgatory.Serial8250MMIO32
		default:
			continue
		}
		ports[name] = port
	}
	return ports
}

// dmaTranslated looks at the kind of every IOMMU group's domain
// (Documentation/ABI/testing/sysfs-kernel-iommu_groups).
func (r hostReader) dmaTranslated() bool {
	types, err := fs.Glob(r.root, "sys/kernel/iommu_groups/*/type")
	if err != nil || len(types) == 0 {
		return false
	}
	for _, name := range types {
		if t := r.optional(name); t != "DMA" && t != "DMA-FQ" {
			return false
		}
	}
	return true
}

func (r hostReader) exists(name string) bool {
	_, err := fs.Stat(r.root, name)
	return err == nil
}
