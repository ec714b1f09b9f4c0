package machine

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strconv"
	"strings"

	"github.com/gokexec/gokexec/pkg/fdt"
	"github.com/gokexec/gokexec/pkg/memmap"
)

// deviceTree reads what a plan for such a machine needs.
func (r hostReader) deviceTree() {
	r.h.DeviceTree, r.h.DeviceTreeErr = readDeviceTree(r.root, r.h.Arch.LiveTree)
	r.unread(r.h.DeviceTreeErr)
}

// vmcoreinfoHead is what the VMCOREINFO note has in addition to a page: two note headers
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
	return memmap.PageSize
}

// Page is the size of a page in bytes: segments are made of whole ones.
func (h *Host) Page() uint64 { return max(h.PageSize, memmap.PageSize) }

// PageUp rounds up to whole pages.
func (h *Host) PageUp(n uint64) uint64 { return memmap.RoundUp(n, h.Page()) }

// Values of sysfs for serial ports (include/uapi/linux/serial_core.h and
// include/linux/serial_core.h).
const (
	portAMBA  = 32 // PORT_AMBA, a PL011
	upioMem   = 2
	upioMem32 = 3
)

// SerialPort is a serial port in memory.
type SerialPort struct {
	Kind string // as earlycon= has it: "pl011", or an 8250: "mmio", "mmio32"
	Addr uint64 // physical
}

// serialPorts finds the ports in memory by their names, such as ttyAMA0
// (Documentation/ABI/testing/sysfs-tty).
func (r *reader) serialPorts() map[string]SerialPort {
	const dir = "sys/class/tty/"
	names, err := fs.Glob(r.root, dir+"tty*/iomem_base")
	if err != nil {
		return nil
	}
	ports := map[string]SerialPort{}
	for _, file := range names {
		name := strings.TrimSuffix(strings.TrimPrefix(file, dir), "/iomem_base")
		read := func(attr string, base int) uint64 {
			v, err := strconv.ParseUint(strings.TrimPrefix(strings.TrimSpace(r.optional(dir+name+"/"+attr)), "0x"), base, 64)
			if err != nil {
				return 0
			}
			return v
		}
		port := SerialPort{Addr: read("iomem_base", 16)}
		switch io, shift := read("io_type", 10), read("iomem_reg_shift", 10); {
		case port.Addr == 0:
			continue
		case read("type", 10) == portAMBA || strings.HasPrefix(name, "ttyAMA"):
			port.Kind = "pl011"
		case io == upioMem && shift == 0:
			port.Kind = "mmio"
		case (io == upioMem32 || io == upioMem) && shift == 2:
			port.Kind = "mmio32"
		default:
			continue
		}
		ports[name] = port
	}
	return ports
}

// dmaTranslated looks at the kind of every IOMMU group's domain
// (Documentation/ABI/testing/sysfs-kernel-iommu_groups).
func (r *reader) dmaTranslated() bool {
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

// FDTPath is the file with the device tree.
const FDTPath = "sys/firmware/fdt"

const devicetreePath = "sys/firmware/devicetree/base"

// readDeviceTree reads what the running kernel was booted with, or, if live, what has become of it. The kernel hides
// it from /sys/firmware/fdt if it has changed since (drivers/of/fdt.c,
// of_fdt_raw_init); then it is made of the directories, less the reservations.
func readDeviceTree(root fs.FS, live bool) (*fdt.Tree, error) {
	b, err := fs.ReadFile(root, FDTPath)
	if live || errors.Is(err, fs.ErrNotExist) {
		t, err := fdt.ReadDirectory(root, devicetreePath)
		if errors.Is(err, fs.ErrNotExist) {
			err = fmt.Errorf("neither /%s nor /%s is there: %w", FDTPath, devicetreePath, fs.ErrNotExist)
		}
		return t, err
	}
	if err != nil {
		return nil, err
	}
	t, err := fdt.Parse(b)
	if err != nil {
		return nil, fmt.Errorf("/%s: %w", FDTPath, err)
	}
	return t, nil
}

// HasCompatible tells whether a node at or below n is compatible with that.
func HasCompatible(n *fdt.Node, want string) bool {
	if v, found := n.Property("compatible"); found && slices.ContainsFunc(bytes.Split(v, []byte{0}), func(c []byte) bool { return string(c) == want }) {
		return true
	}
	return slices.ContainsFunc(n.Children, func(c *fdt.Node) bool { return HasCompatible(c, want) })
}
