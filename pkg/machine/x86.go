package machine

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strconv"
	"strings"

	"github.com/gokexec/gokexec/pkg/memmap"
)

// X86 is what an x86 machine tells of its firmware, for the next kernel to be
// told too. What could not be read is empty, with the reason in Host.Unread.
type X86 struct {
	BootParams []byte // struct boot_params as the running kernel got it, 4096 bytes, or nil
	Firmware   []memmap.FirmwareEntry
	EFI        *EFI            // nil: no UEFI, or its runtime services are off
	RSDP       memmap.PhysAddr // ACPI's root pointer; 0: not told
	GBPages    bool            // page tables may have pages of 1 GiB
}

// EFI is what a kernel needs to use UEFI's runtime services, which a kernel
// before it has moved to virtual addresses (arch/x86/platform/efi/quirks.c,
// efi_reuse_config).
type EFI struct {
	FwVendor, ConfigTable, SMBIOS uint64 // physical addresses
	Runtime                       []EFIMemory
}

// EFIMemory is an efi_memory_desc_t of the runtime services.
type EFIMemory struct {
	Type      uint32
	Phys      memmap.PhysAddr
	Virt      uint64
	Pages     uint64 // of 4 KiB
	Attribute uint64
}

const (
	bootParamsPath = "sys/kernel/boot_params/data"
	efiPath        = "sys/firmware/efi"
	runtimePath    = efiPath + "/runtime-map"

	// maxRuntime bounds the runtime map; machines have some dozens of ranges.
	maxRuntime = 4096
)

func (r hostReader) x86() *X86 {
	x := &X86{GBPages: r.cpuFlag("pdpe1gb") && !r.h.Cmdline.Has("nogbpages", "debug_pagealloc")}
	if b := r.optional(bootParamsPath); len(b) != 0 {
		// optional cuts newlines, which may be the last bytes of the structure.
		if whole, err := fs.ReadFile(r.root, bootParamsPath); err == nil && len(whole) == BootParamsSize {
			x.BootParams = whole
		} else {
			r.unread(fmt.Errorf("%s: %d bytes are no struct boot_params of %d", bootParamsPath, len(whole), BootParamsSize))
		}
	}
	var err error
	if x.Firmware, err = memmap.ReadFirmwareMap(r.root); err != nil && !errors.Is(err, fs.ErrNotExist) {
		r.unread(err)
	}
	tables := r.efiTables()
	if x.EFI, err = r.efi(x.BootParams, tables); err != nil {
		r.unread(err)
	}
	if x.BootParams != nil {
		x.RSDP = memmap.PhysAddr(binary.LittleEndian.Uint64(x.BootParams[OffsetRSDP:]))
	}
	for _, name := range []string{"ACPI20", "ACPI"} {
		if x.RSDP == 0 {
			x.RSDP = memmap.PhysAddr(tables[name])
		}
	}
	return x
}

// efiTables reads lines such as "ACPI20=0x7fb7e014" (drivers/firmware/efi/
// efi.c, systab_show).
func (r *reader) efiTables() map[string]uint64 {
	tables := map[string]uint64{}
	for line := range strings.Lines(r.optional(efiPath + "/systab")) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		if v, err := strconv.ParseUint(value, 0, 64); err == nil {
			tables[name] = v
		}
	}
	return tables
}

// efi is nil without an error on a machine that has no use for it.
func (r *reader) efi(params []byte, tables map[string]uint64) (*EFI, error) {
	if params == nil || binary.LittleEndian.Uint32(params[OffsetEFIMemmapSize:]) == 0 {
		return nil, nil
	}
	dirs, err := fs.ReadDir(r.root, runtimePath)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil // no runtime services
	}
	if err != nil {
		return nil, err
	}
	if len(dirs) > maxRuntime {
		return nil, fmt.Errorf("/%s: %d ranges; at most %d are taken", runtimePath, len(dirs), maxRuntime)
	}
	numbers := make([]int, 0, len(dirs))
	for _, d := range dirs {
		n, err := strconv.Atoi(d.Name())
		if err != nil {
			return nil, fmt.Errorf("/%s/%s: name is not a number", runtimePath, d.Name())
		}
		numbers = append(numbers, n)
	}
	slices.Sort(numbers)
	e := &EFI{SMBIOS: tables["SMBIOS"]}
	for _, n := range numbers {
		m, err := r.efiMemory(fmt.Sprintf("%s/%d/", runtimePath, n))
		if err != nil {
			return nil, err
		}
		e.Runtime = append(e.Runtime, m)
	}
	if e.FwVendor, err = r.hex(efiPath + "/fw_vendor"); err != nil {
		return nil, err
	}
	if e.ConfigTable, err = r.hex(efiPath + "/config_table"); err != nil {
		return nil, err
	}
	return e, nil
}

func (r *reader) efiMemory(dir string) (EFIMemory, error) {
	var v [5]uint64
	for i, name := range []string{"type", "phys_addr", "virt_addr", "num_pages", "attribute"} {
		var err error
		if v[i], err = r.hex(dir + name); err != nil {
			return EFIMemory{}, err
		}
	}
	return EFIMemory{Type: uint32(v[0]), Phys: memmap.PhysAddr(v[1]), Virt: v[2], Pages: v[3], Attribute: v[4]}, nil
}

// hex reads a number with 0x before it.
func (r *reader) hex(name string) (uint64, error) {
	b, err := fs.ReadFile(r.root, name)
	if err != nil {
		return 0, err
	}
	s := strings.TrimSpace(string(b))
	v, err := strconv.ParseUint(s, 0, 64)
	if err != nil {
		return 0, fmt.Errorf("/%s: %.200q is not a number", name, s)
	}
	return v, nil
}

// FirmwareMap is the memory map that the firmware gave, ascending; nil if it is not known.
func (h *Host) FirmwareMap() []memmap.FirmwareEntry {
	if h.X86 == nil {
		return nil
	}
	return h.X86.Firmware
}

// Of struct boot_params (Documentation/arch/x86/zero-page.rst), in bytes: its size, and
// where acpi_rsdp_addr and efi_info.efi_memmap_size are.
const (
	BootParamsSize      = 4096
	OffsetRSDP          = 0x070
	OffsetEFIMemmapSize = 0x1d4
)
