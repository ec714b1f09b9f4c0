package imagetest

import (
	"encoding/binary"
	"fmt"
)

var le = binary.LittleEndian

// BzImage is an x86 bzImage. Zero fields are written as zero; Good returns one
// that passes every check.
type BzImage struct {
	Protocol        uint16 // 0x20f is 2.15
	SetupSects      uint8  // 0 means 4
	LoadFlags       uint8
	XLoadFlags      uint16
	Relocatable     bool
	KernelAlignment uint32
	MinAlignment    uint8
	PrefAddress     uint64
	InitSize        uint32
	CmdlineSize     uint32
	InitrdAddrMax   uint32
	HandoverOffset  uint32
	PayloadOffset   uint32 // in Kernel
	PayloadLength   uint32
	KernelInfo      uint32 // kernel_info_offset, in Kernel
	Version         string // kernel_version
	Kernel          []byte // protected-mode kernel, padded to 16 bytes
	Trailer         []byte // after the kernel, such as a signature
	EFIStub         bool   // make it a PE program too
}

// GoodBzImage returns a relocatable 64-bit bzImage like those of today's
// distributions, but small: 64 KiB of kernel.
func GoodBzImage() BzImage {
	return BzImage{
		Protocol:        0x20f,
		SetupSects:      7,
		LoadFlags:       0x01,
		XLoadFlags:      0x7f,
		Relocatable:     true,
		KernelAlignment: 0x200000,
		MinAlignment:    21,
		PrefAddress:     0x1000000,
		InitSize:        0x3400000,
		CmdlineSize:     2047,
		InitrdAddrMax:   0x7fffffff,
		HandoverOffset:  0x190,
		PayloadOffset:   0x400,
		PayloadLength:   0x8000,
		KernelInfo:      0x200,
		Version:         "6.12.9-gokexec (root@localhost) #1 SMP PREEMPT_DYNAMIC",
		Kernel:          KernelInfo(Filler(64<<10), 0x200),
		EFIStub:         true,
	}
}

// KernelInfo writes a kernel_info structure into kernel at off.
func KernelInfo(kernel []byte, off int) []byte {
	copy(kernel[off:], "LToP")
	le.PutUint32(kernel[off+4:], 16)
	le.PutUint32(kernel[off+8:], 16)
	le.PutUint32(kernel[off+12:], 1<<31|9)
	return kernel
}

// versionOffset is where Bytes puts the version string.
const versionOffset = 0x400

// Bytes returns the file.
func (z BzImage) Bytes() []byte {
	sects := int(z.SetupSects)
	if sects == 0 {
		sects = 4
	}
	setup := make([]byte, (sects+1)*512)
	kernel := append([]byte(nil), z.Kernel...)
	for len(kernel)%16 != 0 {
		kernel = append(kernel, 0)
	}
	setup[0x1f1] = z.SetupSects
	le.PutUint32(setup[0x1f4:], uint32(len(kernel)/16))
	le.PutUint16(setup[0x1fe:], 0xaa55)
	setup[0x200], setup[0x201] = 0xeb, 0x6a // header up to 0x26c
	copy(setup[0x202:], "HdrS")
	le.PutUint16(setup[0x206:], z.Protocol)
	if z.Version != "" {
		if versionOffset+len(z.Version) >= len(setup) {
			panic(fmt.Sprintf("imagetest: version of %d bytes does not fit", len(z.Version)))
		}
		le.PutUint16(setup[0x20e:], versionOffset-0x200)
		copy(setup[versionOffset:], z.Version)
	}
	setup[0x211] = z.LoadFlags
	le.PutUint32(setup[0x214:], 0x100000)
	le.PutUint32(setup[0x22c:], z.InitrdAddrMax)
	le.PutUint32(setup[0x230:], z.KernelAlignment)
	if z.Relocatable {
		setup[0x234] = 1
	}
	setup[0x235] = z.MinAlignment
	le.PutUint16(setup[0x236:], z.XLoadFlags)
	le.PutUint32(setup[0x238:], z.CmdlineSize)
	le.PutUint32(setup[0x248:], z.PayloadOffset)
	le.PutUint32(setup[0x24c:], z.PayloadLength)
	le.PutUint64(setup[0x258:], z.PrefAddress)
	le.PutUint32(setup[0x260:], z.InitSize)
	le.PutUint32(setup[0x264:], z.HandoverOffset)
	le.PutUint32(setup[0x268:], z.KernelInfo)
	if z.EFIStub {
		copy(setup, "MZ")
		copy(setup[0x38:], "\xcd\x23\x82\x81") // LINUX_PE_MAGIC
		le.PutUint32(setup[0x3c:], 0x40)
		peHeader(setup[0x40:], 0x8664, 0xa0, []peSection{
			{".setup", uint32(len(setup)) - 0x200, uint32(len(setup)) - 0x200, 0x200},
			{".text", uint32(len(kernel)), uint32(len(kernel)), uint32(len(setup))},
		})
	}
	return append(append(setup, kernel...), z.Trailer...)
}

// Filler returns n bytes that differ and compress somewhat, the same each time.
func Filler(n int) []byte {
	b := make([]byte, n)
	x := uint32(2463534242)
	for i := range b {
		if i%64 == 0 {
			x ^= x << 13
			x ^= x >> 17
			x ^= x << 5
		}
		b[i] = byte(x >> (i % 4 * 8))
	}
	return b
}
