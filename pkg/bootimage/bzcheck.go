package bootimage

import (
	"errors"
	"fmt"

	"github.com/gokexec/gokexec/internal/decompress"
)

// Sentinels of the checks of a bzImage.
var (
	ErrOldProtocol    = errors.New("boot protocol too old")
	ErrNotLoadedHigh  = errors.New("zImage, loads below 1 MiB")
	ErrNot64Bit       = errors.New("no 64-bit entry point")
	ErrBelow4G        = errors.New("cannot be loaded above 4 GiB")
	ErrNotRelocatable = errors.New("not relocatable")
	ErrNo5Level       = errors.New("no support for 5-level page tables")
)

// protocol64 is the oldest protocol that kexec_file_load takes
// (arch/x86/kernel/kexec-bzimage64.c, bzImage64_probe).
const protocol64 = 0x20c

// CheckProtocol returns ErrOldProtocol for an image from before boot protocol
// 2.12, which cannot be entered in 64-bit mode.
func (z *BzImage) CheckProtocol() error {
	if z.Version < protocol64 {
		return fmt.Errorf("bzImage: %w: version is %s, 2.12 is needed (Linux 3.8)", ErrOldProtocol, z.Protocol())
	}
	return nil
}

// CheckLoadedHigh returns ErrNotLoadedHigh for an old zImage.
func (z *BzImage) CheckLoadedHigh() error {
	if z.LoadFlags&LoadedHigh == 0 {
		return fmt.Errorf("bzImage: %w: loadflags %#02x lacks LOADED_HIGH (%#x)", ErrNotLoadedHigh, uint8(z.LoadFlags), uint8(LoadedHigh))
	}
	return nil
}

// Check64Bit returns ErrNot64Bit for a 32-bit kernel.
func (z *BzImage) Check64Bit() error { return z.checkXLF(XLFKernel64, "XLF_KERNEL_64", ErrNot64Bit) }

// CheckAbove4G returns ErrBelow4G for a kernel that must lie, with its
// boot_params, initrd and command line, below 4 GiB.
func (z *BzImage) CheckAbove4G() error {
	return z.checkXLF(XLFCanBeLoadedAbove4G, "XLF_CAN_BE_LOADED_ABOVE_4G", ErrBelow4G)
}

// Check5Level returns ErrNo5Level for a kernel that cannot be entered from one
// that runs with 5-level page tables (la57). It need not be asked otherwise.
func (z *BzImage) Check5Level() error { return z.checkXLF(XLF5Level, "XLF_5LEVEL", ErrNo5Level) }

func (z *BzImage) checkXLF(flag XLoadFlags, name string, sentinel error) error {
	if z.XLoadFlags&flag == 0 {
		return fmt.Errorf("bzImage: %w: xloadflags %#04x lacks %s (%#x)", sentinel, uint16(z.XLoadFlags), name, uint16(flag))
	}
	return nil
}

// CheckRelocatable returns ErrNotRelocatable for a kernel that runs only at
// PrefAddress, which a crash kernel cannot be given.
func (z *BzImage) CheckRelocatable() error {
	if !z.Relocatable {
		return fmt.Errorf("bzImage: %w: relocatable_kernel is 0, it runs at %#x only (CONFIG_RELOCATABLE)", ErrNotRelocatable, z.PrefAddress)
	}
	return nil
}

// CheckKexec64 makes the checks that kexec_file_load makes of a bzImage
// (arch/x86/kernel/kexec-bzimage64.c, bzImage64_probe) and returns all that
// fail, joined. fiveLevel tells that the running kernel uses 5-level page
// tables.
func (z *BzImage) CheckKexec64(fiveLevel bool) error {
	if err := z.CheckProtocol(); err != nil {
		return err // the fields behind the other checks are not there
	}
	errs := []error{z.CheckLoadedHigh(), z.Check64Bit(), z.CheckAbove4G(), z.CheckRelocatable()}
	if fiveLevel {
		errs = append(errs, z.Check5Level())
	}
	return errors.Join(errs...)
}

// KernelInfo is struct kernel_info (protocol 2.15, boot.rst "The kernel_info").
type KernelInfo struct {
	Size         uint32 // bytes of the fixed part
	SizeTotal    uint32 // bytes with what follows it
	SetupTypeMax uint32 // largest type of setup_data, and of SETUP_INDIRECT, that the kernel knows
}

const (
	kernelInfoMagic = "LToP"
	kernelInfoBytes = 16
)

// KernelInfo reads the kernel_info structure. It returns nil without an error
// when the image has none.
func (z *BzImage) KernelInfo() (*KernelInfo, error) {
	off, _ := z.Field("kernel_info_offset")
	if off == 0 {
		return nil, nil
	}
	if off+kernelInfoBytes > uint64(z.KernelSize()) {
		return nil, fmt.Errorf("bzImage: kernel_info_offset %#x is outside the kernel of %#x bytes", off, z.KernelSize())
	}
	b, err := z.src.at(z.SetupSize()+int64(off), kernelInfoBytes)
	if err != nil {
		return nil, fmt.Errorf("bzImage: kernel_info: %w", err)
	}
	if string(b[:4]) != kernelInfoMagic {
		return nil, fmt.Errorf("bzImage: kernel_info at %#x begins with %q, not %q", off, b[:4], kernelInfoMagic)
	}
	k := &KernelInfo{Size: le.Uint32(b[4:]), SizeTotal: le.Uint32(b[8:]), SetupTypeMax: le.Uint32(b[12:])}
	if k.Size < kernelInfoBytes || k.SizeTotal < k.Size || off+uint64(k.SizeTotal) > uint64(z.KernelSize()) {
		return nil, fmt.Errorf("bzImage: kernel_info at %#x has size %d and size_total %d in a kernel of %#x bytes", off, k.Size, k.SizeTotal, z.KernelSize())
	}
	return k, nil
}

// VMLinux unpacks the ELF kernel (vmlinux) that a bzImage carries as its
// payload. Kernels from before boot protocol 2.08 do not say where it is.
func (z *BzImage) VMLinux() (*Image, error) {
	if z.PayloadLength == 0 {
		return nil, fmt.Errorf("bzImage: payload_length is 0 (boot protocol %s)", z.Protocol())
	}
	p := z.src.section(z.SetupSize()+int64(z.PayloadOffset), int64(z.PayloadLength))
	h, err := p.head(headSize)
	if err != nil {
		return nil, fmt.Errorf("bzImage: payload: %w", err)
	}
	if len(h) >= 4 && string(h[:4]) == "\x7fELF" { // CONFIG_KERNEL_UNCOMPRESSED
		return OpenWithin(p.r, p.size, z.limit)
	}
	c := decompress.Of(h)
	if c == nil {
		return nil, fmt.Errorf("bzImage: payload begins with % x, which is no known compression", h[:min(len(h), 8)])
	}
	// The unpacked size lies behind the payload (scripts/Makefile.lib,
	// size_append), save for gzip, which ends with it anyway.
	hint, end := p.sizeHint(p.size-sizeTrailer), p.size
	if c.Name != "gzip" && end > sizeTrailer {
		end -= sizeTrailer
	}
	u, err := unpack(c, p.section(0, end), hint, z.limit)
	if err != nil {
		return nil, fmt.Errorf("bzImage: payload: %s: %w", c.Name, err)
	}
	img, err := OpenWithin(u.r, u.size, z.limit)
	if err != nil {
		return nil, fmt.Errorf("bzImage: payload: %s: %w", c.Name, err)
	}
	img.Wrapping = append([]string{"bzImage(" + c.Name + ")"}, img.Wrapping...)
	return img, nil
}
