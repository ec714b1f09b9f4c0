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

//go:embed purgatory_riscv64.bin
var codeRISCV64 []byte

// Entry is the offset in bytes of the entry point, on every machine.
const Entry = 0

// Align is the alignment in bytes that the blob's address must have.
const Align = 4096

// codeOffsets are offsets from the beginning of the code, in bytes.
type codeOffsets struct {
	params int // the parameter block
	verify int // the subroutine that hashes, compares and copies
}

// code returns the embedded code for a machine, and where its parts are.
func code(machine elf.Machine) ([]byte, codeOffsets, error) {
	switch machine {
	case elf.EM_X86_64:
		return codeAMD64, offsets["amd64"], nil
	case elf.EM_AARCH64:
		return codeARM64, offsets["arm64"], nil
	case elf.EM_RISCV:
		return codeRISCV64, offsets["riscv64"], nil
	}
	return nil, codeOffsets{}, fmt.Errorf("%v: %w", machine, ErrUnsupported)
}

// Blob returns a copy of the purgatory for a 64-bit, little-endian machine:
// EM_X86_64, EM_AARCH64 or EM_RISCV. It may be loaded at any page-aligned physical
// address, as a segment of MemSize bytes of which these are the first, once
// Params.Patch has filled in the parameters.
func Blob(machine elf.Machine) ([]byte, error) {
	b, _, err := code(machine)
	return slices.Clone(b), err
}

// MemSize returns how much memory in bytes the purgatory needs, a multiple of
// Align: the code, and after it zeroed memory for its stack.
func MemSize(machine elf.Machine) (uint64, error) {
	b, off, err := code(machine)
	if err != nil {
		return 0, err
	}
	return uint64(binary.LittleEndian.Uint32(b[off.params+offMemSize:])), nil
}
