package plan

import (
	"bytes"
	"debug/elf"
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/gokexec/gokexec/pkg/advice"
	"github.com/gokexec/gokexec/pkg/bootimage"
	"github.com/gokexec/gokexec/pkg/machine"
	"github.com/gokexec/gokexec/pkg/memmap"
)

const (
	// imageAlign is what an Image's base is aligned to, in bytes (Documentation/
	// arch/arm64/booting.rst; arch/riscv/mm/init.c, setup_vm: PMD_SIZE).
	imageAlign = 2 << 20

	// An initrd for arm64 must lie in a window of 32 GiB, aligned to 1 GiB, that
	// has the Image in it too (booting.rst).
	initrdWindowAlign = 1 << 30
	initrdWindow      = 32 << 30
)

// dtKernel is an Image as it is loaded.
type dtKernel struct {
	data    []byte
	memSize uint64
	align   uint64 // of the base
	offset  uint64 // from the base to the Image, where it is entered
	page    uint64 // bytes of its pages, 0 if not known
	room    uint64 // from the base on, what it keeps others out of
	above   bool   // it can't use memory below itself
}

// readDTKernel prepares an Image, or the one that is in a vmlinux.
func (p *Plan) readDTKernel(image *bootimage.Image) (*dtKernel, error) {
	data, err := image.Bytes()
	if err != nil {
		return nil, err
	}
	if image.Format == bootimage.FormatELF {
		if image, data, err = flatten(image.ELF, data); err != nil {
			return nil, err
		}
	}
	k := &dtKernel{data: data, align: imageAlign}
	switch {
	case image.ARM64 != nil:
		if err := image.ARM64.CheckImageSize(); err != nil {
			return nil, err
		}
		if image.ARM64.BigEndian() {
			return nil, errors.New("it is a big-endian kernel; kexec_load takes little-endian ones only here")
		}
		k.memSize, k.offset, k.page = image.ARM64.ImageSize, image.ARM64.TextOffset, image.ARM64.PageSize()
		k.above = !image.ARM64.AnyPlacement()
		if k.offset >= imageAlign || k.offset%memmap.PageSize != 0 {
			return nil, fmt.Errorf("text_offset is %#x; want whole pages below %#x", k.offset, imageAlign)
		}
	case image.RISCV != nil:
		if image.RISCV.BigEndian() {
			return nil, errors.New("it is a big-endian kernel; kexec_load takes little-endian ones only here")
		}
		// kexec_file_load aligns to text_offset (arch/riscv/kernel/kexec_image.c).
		k.memSize = image.RISCV.ImageSize
		if off := image.RISCV.TextOffset; off > k.align && off&(off-1) == 0 && off <= 1<<30 {
			k.align = off
		}
	default:
		return nil, fmt.Errorf("gokexec does not load %s by kexec_load on %s", image.Format, p.Arch.Name)
	}
	if k.memSize > bootimage.MaxUnpacked {
		return nil, fmt.Errorf("image_size is %#x; no kernel is larger than %#x", k.memSize, uint64(bootimage.MaxUnpacked))
	}
	k.memSize = max(k.memSize, uint64(len(data)))
	k.room = k.offset + k.memSize
	if image.RISCV != nil {
		// It maps its last block of 2 MiB read-only, and takes an initrd in it for
		// damaged (arch/riscv/mm/init.c, setup_bootmem).
		k.room = memmap.RoundUp(k.room, imageAlign)
	}
	return k, nil
}

// flatten lays a vmlinux out as it is in memory: an Image is just that, made by
// objcopy, and its header is the beginning of the kernel text.
func flatten(f *bootimage.ELF, data []byte) (*bootimage.Image, []byte, error) {
	if f.Class != elf.ELFCLASS64 {
		return nil, nil, errors.New("it is a 32-bit kernel")
	}
	base, _ := f.Span()
	end := base
	for _, l := range f.Loads {
		if l.FileSize > 0 {
			end = max(end, l.PhysAddr+l.FileSize)
		}
	}
	if end-base > bootimage.MaxUnpacked {
		return nil, nil, fmt.Errorf("the PT_LOADs span %#x bytes; no kernel is larger than %#x", end-base, uint64(bootimage.MaxUnpacked))
	}
	flat := make([]byte, end-base)
	for _, l := range f.Loads {
		copy(flat[l.PhysAddr-base:], data[l.Offset:l.Offset+l.FileSize])
	}
	image, err := bootimage.Open(bytes.NewReader(flat), int64(len(flat)))
	if err != nil || !image.Unwrapped() || image.ARM64 == nil && image.RISCV == nil {
		return nil, nil, fmt.Errorf("this ELF file does not begin with the header of an Image (%v), so that it can't be told how to place it", err)
	}
	return image, flat, nil
}

// place puts the Image at the lowest base that has room for it, as the boot
// protocol of kernels wants that can't use memory below themselves.
func (k *dtKernel) place(l *layout, host *machine.Host) (memmap.Range, error) {
	hole := memmap.Hole{Size: host.PageUp(k.room), Align: k.align}
	base, err := l.free.Place(hole)
	if errors.Is(err, memmap.ErrNoSpace) {
		return base, l.noRoom(host, RoleKernel, hole, err)
	}
	if err != nil {
		return base, err
	}
	if k.offset%host.Page() != 0 {
		return base, &advice.Problem{What: fmt.Sprintf("the kernel's text_offset of %#x is no multiple of this machine's pages of %#x bytes", k.offset, host.Page()),
			Hint: "use a newer kernel", Err: unix.EADDRNOTAVAIL}
	}
	at := base.Start + memmap.PhysAddr(k.offset)
	here := memmap.Hole{Size: k.memSize, Align: k.align, Min: at, Max: at + memmap.PhysAddr(host.PageUp(k.memSize))}
	if k.offset != 0 {
		here.Align = host.Page()
	}
	r, err := l.place(host, RoleKernel, here)
	l.free = l.free.Minus(memmap.NewSet(base))
	return r, err
}
