package plan

import (
	"encoding/binary"

	"github.com/gokexec/gokexec/pkg/bootimage"
	"github.com/gokexec/gokexec/pkg/machine"
	"github.com/gokexec/gokexec/pkg/memmap"
)

var le = binary.LittleEndian

// Offsets of fields in struct boot_params (arch/x86/include/uapi/asm/
// bootparam.h, Documentation/arch/x86/zero-page.rst), in bytes.
const (
	bpScreenInfo     = 0x000
	bpExtMemK        = 0x002 // in screen_info
	bpExtRamdisk     = 0x0c0
	bpExtRamdiskSize = 0x0c4
	bpExtCmdline     = 0x0c8
	bpEFIInfo        = 0x1c0
	bpEFIDescSize    = 0x1c8
	bpEFIMemmap      = 0x1d0
	bpEFIMemmapHi    = 0x1dc
	bpAltMemK        = 0x1e0
	bpE820Entries    = 0x1e8
	bpEDDEntries     = 0x1e9
	bpEDDSigEntries  = 0x1ea
	bpSecureBoot     = 0x1ec
	bpHeader         = 0x1f1
	bpBootFlag       = 0x1fe
	bpMagic          = 0x202
	bpVersion        = 0x206
	bpLoaderType     = 0x210
	bpLoadFlags      = 0x211
	bpRamdisk        = 0x218
	bpRamdiskSize    = 0x21c
	bpCmdline        = 0x228
	bpInitrdMax      = 0x22c
	bpAlignment      = 0x230
	bpRelocatable    = 0x234
	bpXLoadFlags     = 0x236
	bpCmdlineSize    = 0x238
	bpSubarch        = 0x23c
	bpSetupData      = 0x250
	bpEDDSig         = 0x290
	bpE820           = 0x2d0
	bpEDD            = 0xd00

	screenInfoSize = 64
	efiInfoSize    = 32
	eddSigSize     = 16 * 4
	eddSize        = 6 * 82
	maxEDD         = 6
	maxEDDSig      = 16

	// loaderKexec is the boot loader's number, in the upper half of the byte.
	loaderKexec = 0xd << 4

	// vmlinuxProtocol is what a kernel without a setup_header of its own is
	// told: 2.15, so that it believes all fields.
	vmlinuxProtocol = 0x20f
)

// bootParams is what struct boot_params and the data behind it are made of.
type bootParams struct {
	x86     *machine.X86
	image   *bootimage.Image
	cmdline string
	e820    []E820Entry
	initrd  memmap.Range // empty: none
	seed    []byte
}

// setupNodes are the setup_data nodes, in their order.
func (b *bootParams) setupNodes() []setupNode {
	var nodes []setupNode
	if e := b.x86.EFI; e != nil {
		nodes = append(nodes, setupNode{setupEFI, efiSetup(e)})
	}
	if ordered := e820Order(b.e820); len(ordered) > maxE820 {
		nodes = append(nodes, setupNode{setupE820Ext, appendE820(nil, ordered[maxE820:])})
	}
	if len(b.seed) > 0 {
		nodes = append(nodes, setupNode{setupRNGSeed, b.seed})
	}
	return nodes
}

// bytes makes the segment for a physical address: boot_params, the command
// line, the EFI memory map and the setup_data, as kexec_file_load lays them out
// (arch/x86/kernel/kexec-bzimage64.c, bzImage64_load). The length does not depend
// on the address.
func (b *bootParams) bytes(at memmap.PhysAddr) []byte {
	p := make([]byte, machine.BootParamsSize)
	b.putHeader(p)
	b.putRunning(p)
	b.putMemory(p)

	align := func() uint64 {
		for len(p)%16 != 0 {
			p = append(p, 0)
		}
		return uint64(at) + uint64(len(p))
	}
	put64(p, bpCmdline, bpExtCmdline, align())
	p = append(append(p, b.cmdline...), 0)
	if b.x86.EFI != nil {
		size := efiDescSizeOf(b.x86)
		m := efiMemmap(b.x86.EFI, size)
		put64(p, bpEFIMemmap, bpEFIMemmapHi, align())
		le.PutUint32(p[machine.OffsetEFIMemmapSize:], uint32(len(m)))
		p = append(p, m...)
	}
	next := bpSetupData // where the address of the next node is stored
	for _, n := range b.setupNodes() {
		le.PutUint64(p[next:], align())
		next = len(p)
		p = le.AppendUint64(p, 0)
		p = le.AppendUint32(p, uint32(n.kind))
		p = le.AppendUint32(p, uint32(len(n.data)))
		p = append(p, n.data...)
	}
	return p
}

// putHeader puts the image's setup_header there, or for a vmlinux, which has
// none, what its boot loader would.
func (b *bootParams) putHeader(p []byte) {
	if z := b.image.BzImage; z != nil {
		copy(p[bpHeader:bpE820], z.SetupHeader())
	} else {
		le.PutUint16(p[bpBootFlag:], 0xaa55)
		copy(p[bpMagic:], "HdrS")
		le.PutUint16(p[bpVersion:], vmlinuxProtocol)
		le.PutUint32(p[bpInitrdMax:], 0x7fffffff)
		le.PutUint32(p[bpAlignment:], vmlinuxAlign)
		p[bpRelocatable] = 1
		le.PutUint16(p[bpXLoadFlags:], uint16(bootimage.XLFKernel64|bootimage.XLFCanBeLoadedAbove4G|bootimage.XLF5Level))
		le.PutUint32(p[bpCmdlineSize:], vmlinuxCmdlineMax-1)
	}
	p[bpLoaderType] = loaderKexec
	p[bpLoadFlags] = 0
	le.PutUint64(p[bpSetupData:], 0)
	if !b.initrd.Empty() {
		put64(p, bpRamdisk, bpExtRamdisk, uint64(b.initrd.Start))
		put64(p, bpRamdiskSize, bpExtRamdiskSize, b.initrd.Size())
	}
}

// putRunning hands on what the running kernel was told of the machine
// (kexec-bzimage64.c, setup_boot_parameters and setup_efi_state).
func (b *bootParams) putRunning(p []byte) {
	le.PutUint64(p[machine.OffsetRSDP:], uint64(b.x86.RSDP))
	old := b.x86.BootParams
	if old == nil {
		return
	}
	copy(p[bpScreenInfo:bpScreenInfo+screenInfoSize], old[bpScreenInfo:])
	le.PutUint16(p[bpExtMemK:], 0)
	copy(p[bpSubarch:bpSubarch+4], old[bpSubarch:])
	p[bpEDDEntries] = min(old[bpEDDEntries], maxEDD)
	p[bpEDDSigEntries] = min(old[bpEDDSigEntries], maxEDDSig)
	copy(p[bpEDDSig:bpEDDSig+eddSigSize], old[bpEDDSig:])
	copy(p[bpEDD:bpEDD+eddSize], old[bpEDD:])
	if b.x86.EFI != nil {
		copy(p[bpEFIInfo:bpEFIInfo+efiInfoSize], old[bpEFIInfo:])
		le.PutUint32(p[bpEFIDescSize:], uint32(efiDescSizeOf(b.x86)))
		p[bpSecureBoot] = old[bpSecureBoot]
	}
}

func (b *bootParams) putMemory(p []byte) {
	ordered := e820Order(b.e820)
	n := min(len(ordered), maxE820)
	p[bpE820Entries] = byte(n)
	copy(p[bpE820:], appendE820(nil, ordered[:n]))
	// As BIOS calls told it: KiB of RAM from 1 MiB on.
	for _, r := range ramOf(b.e820).Ranges() {
		if r.Start <= 1<<20 && r.End > 1<<20 {
			k := uint64(r.End-1<<20) >> 10
			le.PutUint16(p[bpExtMemK:], uint16(min(k, 0xfc00)))
			le.PutUint32(p[bpAltMemK:], uint32(min(k, 0xffffffff)))
		}
	}
}

// efiDescSize is the size of an efi_memory_desc_t by this firmware's count, or
// at least what one needs.
func efiDescSizeOf(x *machine.X86) int {
	size := le.Uint32(x.BootParams[bpEFIDescSize:])
	if size < efiDescSize || size > 256 {
		return efiDescSize
	}
	return int(size)
}

// put64 stores the halves of v in two fields.
func put64(p []byte, low, high int, v uint64) {
	le.PutUint32(p[low:], uint32(v))
	le.PutUint32(p[high:], uint32(v>>32))
}
