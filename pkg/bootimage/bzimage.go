package bootimage

import (
	"debug/elf"
	"fmt"
	"io"
)

// SetupField is a field of the setup_header of a bzImage.
type SetupField struct {
	Name   string // as in Documentation/arch/x86/boot.rst
	Offset int    // bytes from the start of the file, and of struct boot_params
	Size   int    // bytes, little endian
	Since  uint16 // boot protocol that brought it, 0x20c is 2.12
}

// SetupFields is struct setup_header, complete up to protocol 2.15
// (arch/x86/include/uapi/asm/bootparam.h, Documentation/arch/x86/boot.rst).
var SetupFields = []SetupField{
	{"setup_sects", 0x1f1, 1, 0},
	{"root_flags", 0x1f2, 2, 0},
	{"syssize", 0x1f4, 4, 0}, // two bytes before 2.04
	{"ram_size", 0x1f8, 2, 0},
	{"vid_mode", 0x1fa, 2, 0},
	{"root_dev", 0x1fc, 2, 0},
	{"boot_flag", 0x1fe, 2, 0},
	{"jump", 0x200, 2, 0x200},
	{"header", 0x202, 4, 0x200},
	{"version", 0x206, 2, 0x200},
	{"realmode_swtch", 0x208, 4, 0x200},
	{"start_sys_seg", 0x20c, 2, 0x200},
	{"kernel_version", 0x20e, 2, 0x200},
	{"type_of_loader", 0x210, 1, 0x200},
	{"loadflags", 0x211, 1, 0x200},
	{"setup_move_size", 0x212, 2, 0x200},
	{"code32_start", 0x214, 4, 0x200},
	{"ramdisk_image", 0x218, 4, 0x200},
	{"ramdisk_size", 0x21c, 4, 0x200},
	{"bootsect_kludge", 0x220, 4, 0x200},
	{"heap_end_ptr", 0x224, 2, 0x201},
	{"ext_loader_ver", 0x226, 1, 0x202},
	{"ext_loader_type", 0x227, 1, 0x202},
	{"cmd_line_ptr", 0x228, 4, 0x202},
	{"initrd_addr_max", 0x22c, 4, 0x203},
	{"kernel_alignment", 0x230, 4, 0x205},
	{"relocatable_kernel", 0x234, 1, 0x205},
	{"min_alignment", 0x235, 1, 0x20a},
	{"xloadflags", 0x236, 2, 0x20c},
	{"cmdline_size", 0x238, 4, 0x206},
	{"hardware_subarch", 0x23c, 4, 0x207},
	{"hardware_subarch_data", 0x240, 8, 0x207},
	{"payload_offset", 0x248, 4, 0x208},
	{"payload_length", 0x24c, 4, 0x208},
	{"setup_data", 0x250, 8, 0x209},
	{"pref_address", 0x258, 8, 0x20a},
	{"init_size", 0x260, 4, 0x20a},
	{"handover_offset", 0x264, 4, 0x20b},
	{"kernel_info_offset", 0x268, 4, 0x20f},
}

const (
	setupHeaderStart = 0x1f1
	setupJumpByte    = 0x201 // second byte of the short jump over the header
	setupHeaderMin   = 0x210 // a header has at least the fields up to kernel_version
	setupHeaderMax   = 0x202 + 0xff
	sectorSize       = 512
	maxKernelVersion = 512 // bytes

	protocolSyssize32  = 0x204 // syssize has four bytes
	protocolXLoadFlags = 0x20c
)

// LoadFlags is the field loadflags of the setup_header.
type LoadFlags uint8

// Bits of LoadFlags.
const (
	LoadedHigh   LoadFlags = 1 << 0 // LOADED_HIGH: protected-mode code at 1 MiB
	KASLRFlag    LoadFlags = 1 << 1
	QuietFlag    LoadFlags = 1 << 5
	KeepSegments LoadFlags = 1 << 6
	CanUseHeap   LoadFlags = 1 << 7
)

// XLoadFlags is the field xloadflags of the setup_header (protocol 2.12).
type XLoadFlags uint16

// Bits of XLoadFlags.
const (
	XLFKernel64           XLoadFlags = 1 << 0 // 64-bit entry at 0x200 of the protected-mode kernel
	XLFCanBeLoadedAbove4G XLoadFlags = 1 << 1
	XLFEFIHandover32      XLoadFlags = 1 << 2
	XLFEFIHandover64      XLoadFlags = 1 << 3
	XLFEFIKexec           XLoadFlags = 1 << 4
	XLF5Level             XLoadFlags = 1 << 5 // knows 5-level paging
	XLF5LevelEnabled      XLoadFlags = 1 << 6
	XLFMemEncryption      XLoadFlags = 1 << 7
)

// BzImage is the setup_header of an x86 bzImage. Fields that the image's boot
// protocol does not have are zero. Addresses are physical, sizes in bytes.
type BzImage struct {
	SetupSects      uint8  // 512-byte sectors of setup code; 0 means 4
	SysSize         uint32 // protected-mode kernel, in units of 16 bytes
	Version         uint16 // boot protocol, 0x20f is 2.15
	LoadFlags       LoadFlags
	InitrdAddrMax   uint32 // last address an initrd may occupy
	KernelAlignment uint32 // bytes
	Relocatable     bool
	MinAlignment    uint8 // power of two
	XLoadFlags      XLoadFlags
	CmdlineSize     uint32 // longest command line, without its NUL
	PayloadOffset   uint32 // compressed vmlinux, from the start of the protected-mode kernel
	PayloadLength   uint32
	PrefAddress     uint64
	InitSize        uint32 // memory needed from the load address on
	HandoverOffset  uint32 // EFI handover entry, from the start of the protected-mode kernel
	KernelVersion   string // such as "6.12.9 (user@host) #1 SMP ..."; "" when not given

	header []byte // file offset 0x1f1 to the end of the setup_header
	src    source
	limit  int64 // of what VMLinux unpacks, bytes
}

func parseBzImage(src source) (*BzImage, error) {
	b, err := src.head(setupHeaderMax)
	if err != nil {
		return nil, err
	}
	if len(b) < setupHeaderMin {
		return nil, fmt.Errorf("bzImage: %w: %d bytes, the header has at least %d", ErrTruncated, len(b), setupHeaderMin)
	}
	end := 0x202 + int(b[setupJumpByte])
	if end < setupHeaderMin {
		return nil, fmt.Errorf("bzImage: setup_header ends at %#x (byte 0x201 is %#x), before kernel_version", end, b[setupJumpByte])
	}
	if end > len(b) {
		return nil, fmt.Errorf("bzImage: %w: %d bytes, the setup_header ends at %d", ErrTruncated, len(b), end)
	}
	z := &BzImage{header: b[setupHeaderStart:end], src: src}
	z.Version = le.Uint16(b[0x206:])
	z.SetupSects = uint8(z.get("setup_sects"))
	z.SysSize = uint32(z.get("syssize"))
	z.LoadFlags = LoadFlags(z.get("loadflags"))
	z.InitrdAddrMax = uint32(z.get("initrd_addr_max"))
	z.KernelAlignment = uint32(z.get("kernel_alignment"))
	z.Relocatable = z.get("relocatable_kernel") != 0
	z.MinAlignment = uint8(z.get("min_alignment"))
	z.XLoadFlags = XLoadFlags(z.get("xloadflags"))
	z.CmdlineSize = uint32(z.get("cmdline_size"))
	z.PayloadOffset = uint32(z.get("payload_offset"))
	z.PayloadLength = uint32(z.get("payload_length"))
	z.PrefAddress = z.get("pref_address")
	z.InitSize = uint32(z.get("init_size"))
	z.HandoverOffset = uint32(z.get("handover_offset"))
	return z, z.check()
}

// check holds the header against the file.
func (z *BzImage) check() error {
	if z.Version < 0x200 {
		return fmt.Errorf("bzImage: boot protocol %s is older than 2.00", z.Protocol())
	}
	if z.SysSize == 0 {
		return fmt.Errorf("bzImage: syssize is 0, there is no protected-mode kernel")
	}
	if want := z.SetupSize() + z.KernelSize(); z.src.size < want {
		return fmt.Errorf("bzImage: %w: %d bytes, the header says %d (setup %d and kernel %d)",
			ErrTruncated, z.src.size, want, z.SetupSize(), z.KernelSize())
	}
	if end := uint64(z.PayloadOffset) + uint64(z.PayloadLength); end > uint64(z.KernelSize()) {
		return fmt.Errorf("bzImage: payload [%#x..%#x) ends outside the kernel of %#x bytes", z.PayloadOffset, end, z.KernelSize())
	}
	if a := z.KernelAlignment; a&(a-1) != 0 {
		return fmt.Errorf("bzImage: kernel_alignment %#x is not a power of two", a)
	}
	if z.MinAlignment > 63 {
		return fmt.Errorf("bzImage: min_alignment %d is not the exponent of an alignment", z.MinAlignment)
	}
	return z.readKernelVersion()
}

func (z *BzImage) readKernelVersion() error {
	p := int64(z.get("kernel_version"))
	if p == 0 {
		return nil
	}
	// boot.rst: the pointer counts from the end of the boot sector, and must
	// lie in the setup code.
	if off := p + sectorSize; off < z.SetupSize() {
		n := min(z.SetupSize()-off, maxKernelVersion)
		b, err := z.src.at(off, int(n))
		if err != nil {
			return fmt.Errorf("bzImage: kernel_version: %w", err)
		}
		z.KernelVersion = printable(cString(b))
		return nil
	}
	return fmt.Errorf("bzImage: kernel_version points to %#x, outside the setup code of %#x bytes", p+sectorSize, z.SetupSize())
}

// Field returns the value of a field of SetupFields, and whether the image's
// boot protocol has it.
func (z *BzImage) Field(name string) (value uint64, ok bool) {
	for _, f := range SetupFields {
		if f.Name != name {
			continue
		}
		version := le.Uint16(z.header[0x206-setupHeaderStart:])
		size := f.Size
		if name == "syssize" && version < protocolSyssize32 {
			size = 2
		}
		off := f.Offset - setupHeaderStart
		if version < f.Since || off+size > len(z.header) {
			return 0, false
		}
		for i := size - 1; i >= 0; i-- {
			value = value<<8 | uint64(z.header[off+i])
		}
		return value, true
	}
	return 0, false
}

func (z *BzImage) get(name string) uint64 {
	v, _ := z.Field(name)
	return v
}

// SetupHeader returns a copy of the setup_header: the bytes that a loader puts
// at offset 0x1f1 of struct boot_params.
func (z *BzImage) SetupHeader() []byte { return append([]byte(nil), z.header...) }

// Protocol returns the boot protocol as boot.rst writes it, such as "2.15".
func (z *BzImage) Protocol() string {
	return fmt.Sprintf("%d.%02d", z.Version>>8, z.Version&0xff)
}

// SetupSize returns the size in bytes of boot sector and setup code: the file
// offset of the protected-mode kernel.
func (z *BzImage) SetupSize() int64 {
	n := int64(z.SetupSects)
	if n == 0 {
		n = 4 // boot.rst: for backwards compatibility
	}
	return (n + 1) * sectorSize
}

// KernelSize returns the size in bytes of the protected-mode kernel. The file
// may go on behind it, with a signature.
func (z *BzImage) KernelSize() int64 { return int64(z.SysSize) * 16 }

// Kernel returns the protected-mode kernel.
func (z *BzImage) Kernel() *io.SectionReader {
	return io.NewSectionReader(z.src.r, z.SetupSize(), z.KernelSize())
}

// machine tells 64 from 32 bits. Kernels from before protocol 2.12 say nothing
// about it in their header, but may have an EFI stub.
func (z *BzImage) machine(pe *peFile) elf.Machine {
	switch {
	case z.XLoadFlags&XLFKernel64 != 0:
		return elf.EM_X86_64
	case z.Version < protocolXLoadFlags && pe != nil && machineOfPE(pe.machine) != elf.EM_NONE:
		return machineOfPE(pe.machine)
	}
	return elf.EM_386
}
