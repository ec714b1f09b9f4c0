package bootimage

import (
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/gokexec/gokexec/internal/decompress"
)

// Sentinels for what a caller branches on. Every error of this package says
// also where in the file and which value.
var (
	// ErrNotKernel: the file is something else; the message says what it
	// looks like.
	ErrNotKernel = errors.New("not a Linux kernel image")
	// ErrTruncated: the file ends before what its own header promises.
	ErrTruncated = decompress.ErrTruncated
	// ErrTooLarge: the file unpacks to more than MaxUnpacked bytes.
	ErrTooLarge = decompress.ErrTooLarge
	// ErrCorrupt: compressed data that does not decompress, or a failed
	// checksum.
	ErrCorrupt = decompress.ErrCorrupt
)

const (
	// MaxUnpacked is the most bytes that one wrapping may unpack to, and the
	// largest image that Bytes reads.
	MaxUnpacked = 1 << 30
	// MaxWrappings is how many wrappings (a UKI, a zboot program, a gzip
	// file) may lie around a kernel.
	MaxWrappings = 4
)

// Format is the format of a kernel image once it is unwrapped.
type Format int

// The formats that Open returns.
const (
	FormatBzImage   Format = iota + 1 // x86 bzImage (Documentation/arch/x86/boot.rst)
	FormatELF                         // ELF kernel: vmlinux, ppc64 zImage
	FormatARM64                       // arm64 Image (Documentation/arch/arm64/booting.rst)
	FormatRISCV                       // riscv Image (Documentation/arch/riscv/boot-image-header.rst)
	FormatLoongArch                   // loongarch PE Image (arch/loongarch/kernel/head.S)
	FormatARM                         // 32-bit ARM zImage (arch/arm/boot/compressed/head.S)
	FormatS390                        // s390 image with the S390EP mark (arch/s390/boot/head.S)
)

var formatNames = [...]string{
	FormatBzImage:   "bzImage",
	FormatELF:       "ELF",
	FormatARM64:     "arm64 Image",
	FormatRISCV:     "riscv Image",
	FormatLoongArch: "loongarch Image",
	FormatARM:       "ARM zImage",
	FormatS390:      "s390 image",
}

// String returns the usual name of the format, such as "bzImage".
func (f Format) String() string {
	if f > 0 && int(f) < len(formatNames) {
		return formatNames[f]
	}
	return fmt.Sprintf("Format(%d)", int(f))
}

// Image is a kernel image, unwrapped, with its header parsed and checked.
type Image struct {
	// Format tells which of the pointers below is set.
	Format Format
	// Machine is the architecture the kernel is built for. A bzImage is
	// EM_X86_64 when a 64-bit entry is there, else EM_386.
	Machine elf.Machine
	// Wrapping lists what was unwrapped, outermost first: "gzip", "uki",
	// "zboot(zstd)". Empty for a file that is itself the kernel.
	Wrapping []string
	// MemSize is the memory in bytes that the kernel needs from its load
	// address on, until it manages memory itself: init_size of a bzImage,
	// image_size of an Image, the span of the PT_LOADs of an ELF file.
	// 0 where the format does not state it.
	MemSize uint64

	BzImage   *BzImage        // FormatBzImage
	ELF       *ELF            // FormatELF
	ARM64     *ARM64Image     // FormatARM64
	RISCV     *RISCVImage     // FormatRISCV
	LoongArch *LoongArchImage // FormatLoongArch
	ARM       *ARMzImage      // FormatARM
	S390      *S390Image      // FormatS390

	// UKI is set when the kernel came out of a unified kernel image.
	UKI *UKI
	// Cmdline is the command line in the UKI (section .cmdline), without
	// trailing white space and NUL; "" when there is none.
	Cmdline string

	src source
}

// source is a stretch of the file or of memory.
type source struct {
	r    io.ReaderAt
	size int64  // bytes
	data []byte // the same bytes when they are in memory
}

func memory(b []byte) source { return source{newBytesReader(b), int64(len(b)), b} }

// section returns size bytes of s from off on. The caller has checked bounds.
func (s source) section(off, size int64) source {
	if s.data != nil {
		return memory(s.data[off : off+size : off+size])
	}
	return source{r: io.NewSectionReader(s.r, off, size), size: size}
}

// Open recognises a kernel image of size bytes, and unwraps it in memory when
// it is wrapped. Without wrapping only headers are read, and r must stay open
// as long as the Image is used.
//
// The error wraps ErrNotKernel, ErrTruncated, ErrTooLarge, ErrCorrupt or the
// error of r; an error without any of them names a field of a header whose
// value makes no sense.
func Open(r io.ReaderAt, size int64) (*Image, error) {
	return OpenWithin(r, size, MaxUnpacked)
}

// OpenWithin is Open for a kernel that is to fit somewhere: a wrapping that unpacks
// to more than limit bytes, or than MaxUnpacked, is ErrTooLarge.
func OpenWithin(r io.ReaderAt, size, limit int64) (*Image, error) {
	limit = min(limit, MaxUnpacked)
	if size < 0 {
		return nil, fmt.Errorf("size %d is negative", size)
	}
	img := &Image{}
	src := source{r: r, size: size}
	for {
		err := img.recognise(src)
		if err == nil {
			if img.BzImage != nil {
				img.BzImage.limit = limit
			}
			if img.UKI != nil {
				img.UKI.limit = limit
			}
			return img, nil
		}
		var w *wrapped
		if !errors.As(err, &w) {
			return nil, img.wrap(err)
		}
		if len(img.Wrapping) == MaxWrappings {
			return nil, img.wrap(fmt.Errorf("%w: %s inside %d wrappings; at most %d are unwrapped",
				ErrNotKernel, w.name, MaxWrappings, MaxWrappings))
		}
		if src, err = w.open(limit); err != nil {
			return nil, img.wrap(fmt.Errorf("%s: %w", w.name, err))
		}
		if w.uki != nil {
			if err := img.setUKI(w.uki); err != nil {
				return nil, img.wrap(fmt.Errorf("%s: %w", w.name, err))
			}
		}
		img.Wrapping = append(img.Wrapping, w.name)
	}
}

// wrap puts the wrappings already taken off before the message.
func (img *Image) wrap(err error) error {
	if len(img.Wrapping) == 0 {
		return err
	}
	return fmt.Errorf("in %s: %w", strings.Join(img.Wrapping, ": "), err)
}

// Unwrapped reports that nothing was unpacked: the file given to Open is
// itself the kernel, so its own descriptor can be handed to kexec_file_load,
// and its signatures and extended attributes count.
func (img *Image) Unwrapped() bool { return len(img.Wrapping) == 0 }

// Size returns the size of the kernel image in bytes, after unwrapping.
func (img *Image) Size() int64 { return img.src.size }

// Header is what img tells of itself, without the file: all but what reads more of it. That, such as
// Bytes, is an error then.
func (img *Image) Header() *Image {
	header := *img
	header.src = closed(img.src)
	if img.BzImage != nil {
		z := *img.BzImage
		z.src = closed(z.src)
		header.BzImage = &z
	}
	if img.UKI != nil {
		u := *img.UKI
		u.src = closed(u.src)
		header.UKI = &u
	}
	return &header
}

// Reader returns a new reader over the kernel image, after unwrapping.
func (img *Image) Reader() *io.SectionReader {
	return io.NewSectionReader(img.src.r, 0, img.src.size)
}

// Bytes returns the kernel image, after unwrapping. It is read whole unless it
// is in memory already, in which case the same slice is returned each time: do
// not change it.
func (img *Image) Bytes() ([]byte, error) {
	b, err := img.src.bytes(MaxUnpacked)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", img.Format, err)
	}
	return b, nil
}

// String describes the image in a few words, such as
// "arm64 Image for aarch64 (in zboot(gzip))".
func (img *Image) String() string {
	s := fmt.Sprintf("%s for %s", img.Format, MachineName(img.Machine))
	if len(img.Wrapping) > 0 {
		s += " (in " + strings.Join(img.Wrapping, ", ") + ")"
	}
	return s
}
