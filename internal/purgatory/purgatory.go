package purgatory

import (
	"debug/elf"
	_ "embed"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
)

//go:generate go run ./gen

// ErrUnsupported: there is no purgatory for a machine.
var ErrUnsupported = errors.New("no purgatory for this machine")

//go:embed purgatory_amd64.bin
var codeAMD64 []byte

//go:embed purgatory_arm64.bin
var codeARM64 []byte

//go:embed purgatory_ppc64le.bin
var codePPC64LE []byte

//go:embed purgatory_riscv64.bin
var codeRISCV64 []byte

//go:embed purgatory_s390x.bin
var codeS390X []byte

// Entry is the offset in bytes of the entry point, on every machine.
const Entry = 0

// Align is the alignment in bytes that the blob's address must have.
const Align = 4096

// codeOffsets are offsets from the beginning of the code, in bytes.
type codeOffsets struct {
	params int // the parameter block
	verify int // the subroutine that hashes, compares and copies
}

// target is a machine that there is a purgatory for: a row of the table.
type target struct {
	machine elf.Machine
	code    []byte
	offsets codeOffsets
	order   binary.ByteOrder // of its numbers
	align   uint64           // of an instruction, in bytes
	sme     bool             // it may have the Scalable Matrix Extension
	serials []SerialKind     // where it can report
}

// targetOf looks a machine up.
func targetOf(machine elf.Machine) (target, error) {
	for _, row := range []target{
		{machine: elf.EM_X86_64, order: binary.LittleEndian, code: codeAMD64, offsets: offsets.amd64, align: 1, serials: []SerialKind{Serial8250Port}},
		{machine: elf.EM_AARCH64, order: binary.LittleEndian, code: codeARM64, offsets: offsets.arm64, align: 4, sme: true, serials: []SerialKind{Serial8250MMIO, Serial8250MMIO32, SerialPL011}},
		{machine: elf.EM_RISCV, order: binary.LittleEndian, code: codeRISCV64, offsets: offsets.riscv64, align: 2, serials: []SerialKind{Serial8250MMIO, Serial8250MMIO32, SerialSBI}},
		{machine: elf.EM_PPC64, order: binary.LittleEndian, code: codePPC64LE, offsets: offsets.ppc64le, align: 4, serials: []SerialKind{SerialHypervisor}},
		{machine: elf.EM_S390, order: binary.BigEndian, code: codeS390X, offsets: offsets.s390x, align: 2}, // the kernel reports
	} {
		if row.machine == machine {
			return row, nil
		}
	}
	return target{}, fmt.Errorf("%v: %w", machine, ErrUnsupported)
}

// Blob returns a copy of the purgatory for a 64-bit machine:
// EM_X86_64, EM_AARCH64, EM_RISCV, EM_PPC64 (little-endian) or EM_S390. It may be loaded at any page-aligned physical
// address, as a segment of MemSize bytes of which these are the first, once
// Params.Patch has filled in the parameters.
func Blob(machine elf.Machine) ([]byte, error) {
	t, err := targetOf(machine)
	return slices.Clone(t.code), err
}

// MemSize returns how much memory in bytes the purgatory needs, a multiple of
// Align: the code, and after it zeroed memory for its stack.
func MemSize(machine elf.Machine) (uint64, error) {
	t, err := targetOf(machine)
	if err != nil {
		return 0, err
	}
	return uint64(t.order.Uint32(t.code[t.offsets.params+offMemSize:])), nil
}
