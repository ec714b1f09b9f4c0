package purgatory

import (
	"debug/elf"
	"errors"
	"fmt"
	"slices"
)

// MaxRegions is how many regions the purgatory can hash: as many as the kernel
// takes segments (include/uapi/linux/kexec.h, KEXEC_SEGMENT_MAX).
const MaxRegions = 16

// BlockSize in bytes: start and length of every region are multiples of it.
// Segments are whole pages.
const BlockSize = 64

// MismatchText is what the purgatory writes, followed by CR and LF, when the digest
// isn't the one expected.
const MismatchText = "gokexec purgatory: SHA-256 mismatch: a segment was overwritten; stopped"

// FaultText is what it writes on amd64 when the CPU takes an exception, as it does
// when the kernel has not mapped a region.
const FaultText = "gokexec purgatory: CPU exception; stopped"

// ErrParams: the purgatory can't do what the parameters ask for.
var ErrParams = errors.New("bad purgatory parameters")

// The layout of the parameter block, offsets in bytes; code/params.h is the other
// side. Numbers have the byte order of the machine.
const (
	offMagic      = 0x000
	offVersion    = 0x008
	offMemSize    = 0x00c
	offFlags      = 0x010
	offNumRegions = 0x018
	offEntry      = 0x020
	offArg        = 0x028
	offBackupSrc  = 0x030
	offBackupSize = 0x038
	offBackupDst  = 0x040
	offSerialAddr = 0x048
	offSerialKind = 0x050
	offSerialDiv  = 0x054
	offDigest     = 0x060
	offRegions    = 0x080
	offMismatch   = 0x180
	offFault      = 0x1d0
	sizeParams    = 0x220

	textSize = 0x50

	paramsMagic   = "GKXPURG1"
	paramsVersion = 1

	flagSkipChecks = 1
	flagSME        = 2
)

// Region is a piece of physical memory to hash, in bytes.
type Region struct {
	Start uint64 // physical address, a multiple of BlockSize
	Len   uint64 // a multiple of BlockSize
}

// Backup is memory to copy before the kernel is entered: the low 640 KiB that an
// x86 crash kernel makes use of. A Size of 0 copies nothing.
type Backup struct {
	Src, Size, Dst uint64 // physical addresses and bytes
}

// SerialKind is a sort of serial port. The values are those of the parameter block.
type SerialKind uint32

const (
	SerialNone       SerialKind = 0
	Serial8250Port   SerialKind = 1 // x86: Addr is an I/O port
	Serial8250MMIO   SerialKind = 2 // registers of 1 byte, 1 byte apart
	Serial8250MMIO32 SerialKind = 3 // registers of 4 bytes, 4 bytes apart
	SerialPL011      SerialKind = 4 // arm64
	SerialSBI        SerialKind = 5 // riscv64: the firmware's console, no Addr
	SerialHypervisor SerialKind = 6 // ppc64le: that of a logical partition, no Addr
)

// Serial is where a mismatch is reported.
type Serial struct {
	Kind SerialKind
	Addr uint64 // I/O port or physical address
	// Baud in bits per second, for Serial8250Port only: a divisor of 115200. 0
	// leaves the port as it was set up.
	Baud uint32
}

// Params are the parameters of a purgatory.
type Params struct {
	Entry uint64 // physical address of the kernel's 64-bit entry point

	// Arg is the physical address of what the kernel is given: on x86-64 the
	// boot_params (rsi), on arm64 the device tree (x0), on riscv64 the device tree
	// (a1), where 0 keeps the one that the kernel that crashed handed over.
	Arg uint64

	// Regions are hashed in this order; Digest is what must come of it. They
	// must not include the purgatory itself, nor what may change after the load: the
	// elfcorehdr if the kernel updates it.
	Regions []Region
	Digest  [32]byte

	// SkipChecks enters the kernel without looking at Regions.
	SkipChecks bool

	Backup Backup
	Serial Serial

	// SME says that the arm64 kernel that is running uses the Scalable Matrix
	// Extension ("sme" under Features in /proc/cpuinfo). On a CPU that has it the
	// purgatory only then dares to leave streaming mode and use the SHA-256
	// instructions; without, it is right but slower.
	SME bool
}

// Patch writes the parameters into blob, a copy from Blob for the same machine.
// What can't work is refused with ErrParams.
func (p *Params) Patch(machine elf.Machine, blob []byte) error {
	t, err := targetOf(machine)
	if err != nil {
		return err
	}
	off := t.offsets
	if len(blob) != len(t.code) || string(blob[off.params:off.params+len(paramsMagic)]) != paramsMagic {
		return fmt.Errorf("%w: %d bytes are not the purgatory for %v, of %d", ErrParams, len(blob), machine, len(t.code))
	}
	divisor, err := p.check(machine, t)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrParams, err)
	}

	b := blob[off.params : off.params+sizeParams]
	var flags uint64
	if p.SkipChecks {
		flags |= flagSkipChecks
	}
	if p.SME {
		flags |= flagSME
	}
	t.order.PutUint64(b[offFlags:], flags)
	t.order.PutUint64(b[offNumRegions:], uint64(len(p.Regions)))
	t.order.PutUint64(b[offEntry:], p.Entry)
	t.order.PutUint64(b[offArg:], p.Arg)
	t.order.PutUint64(b[offBackupSrc:], p.Backup.Src)
	t.order.PutUint64(b[offBackupSize:], p.Backup.Size)
	t.order.PutUint64(b[offBackupDst:], p.Backup.Dst)
	t.order.PutUint64(b[offSerialAddr:], p.Serial.Addr)
	t.order.PutUint32(b[offSerialKind:], uint32(p.Serial.Kind))
	t.order.PutUint32(b[offSerialDiv:], divisor)
	copy(b[offDigest:], p.Digest[:])
	clear(b[offRegions:offMismatch])
	for i, r := range p.Regions {
		t.order.PutUint64(b[offRegions+16*i:], r.Start)
		t.order.PutUint64(b[offRegions+16*i+8:], r.Len)
	}
	putText(b[offMismatch:offMismatch+textSize], MismatchText)
	putText(b[offFault:offFault+textSize], FaultText)
	return nil
}

// putText writes a line and its NUL; b is large enough for both texts.
func putText(b []byte, line string) {
	clear(b)
	copy(b[:len(b)-1], line+"\r\n")
}

// check returns the 8250's divisor, or why the parameters are no good.
func (p *Params) check(machine elf.Machine, t target) (uint32, error) {
	if p.Entry == 0 {
		return 0, errors.New("entry point 0")
	}
	if p.Entry%t.align != 0 {
		return 0, fmt.Errorf("entry point %#x is not aligned for an instruction", p.Entry)
	}
	if p.SME && !t.sme {
		return 0, fmt.Errorf("SME on %v", machine)
	}
	if len(p.Regions) > MaxRegions {
		return 0, fmt.Errorf("%d regions; at most %d", len(p.Regions), MaxRegions)
	}
	for i, r := range p.Regions {
		if r.Start%BlockSize != 0 || r.Len%BlockSize != 0 {
			return 0, fmt.Errorf("region %d, %#x bytes at %#x: not in units of %d bytes", i, r.Len, r.Start, BlockSize)
		}
		if r.Start+r.Len < r.Start {
			return 0, fmt.Errorf("region %d, %#x bytes at %#x: beyond 64 bits", i, r.Len, r.Start)
		}
	}
	if b := p.Backup; b.Size != 0 {
		if b.Src+b.Size < b.Src || b.Dst+b.Size < b.Dst {
			return 0, fmt.Errorf("backup of %#x bytes from %#x to %#x: beyond 64 bits", b.Size, b.Src, b.Dst)
		}
		if b.Src < b.Dst+b.Size && b.Dst < b.Src+b.Size {
			return 0, fmt.Errorf("backup of %#x bytes from %#x to %#x: they overlap", b.Size, b.Src, b.Dst)
		}
	}
	return p.Serial.check(machine, t)
}

// check returns the 8250's divisor, 0 for one that stays as it is.
func (s *Serial) check(machine elf.Machine, t target) (uint32, error) {
	align, limit := uint64(1), ^uint64(0)
	switch s.Kind {
	case SerialNone:
		if *s != (Serial{}) {
			return 0, fmt.Errorf("serial port %#x of no kind", s.Addr)
		}
		return 0, nil
	case Serial8250Port:
		limit = 0xfff8
	case Serial8250MMIO32, SerialPL011:
		align = 4
	}
	if !slices.Contains(t.serials, s.Kind) {
		return 0, fmt.Errorf("serial port of kind %d on %v", s.Kind, machine)
	}
	nameless := s.Kind == SerialSBI || s.Kind == SerialHypervisor
	if nameless && s.Addr != 0 {
		return 0, fmt.Errorf("a firmware's console has no address, got %#x", s.Addr)
	}
	if !nameless && (s.Addr == 0 || s.Addr%align != 0 || s.Addr > limit) {
		return 0, fmt.Errorf("serial port at %#x", s.Addr)
	}
	if s.Baud == 0 {
		return 0, nil
	}
	const clock = 115200
	if s.Kind != Serial8250Port {
		return 0, fmt.Errorf("baud rate %d for a serial port whose clock is not known", s.Baud)
	}
	if divisor := clock / s.Baud; divisor != 0 && divisor <= 0xffff && clock%s.Baud == 0 {
		return divisor, nil
	}
	return 0, fmt.Errorf("baud rate %d does not divide %d", s.Baud, clock)
}
