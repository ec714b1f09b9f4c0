// Package purgatory contains the code that runs between a kernel that crashed, or that
// an ordinary kexec leaves, and the one loaded with kexec_load(2): a few KiB of machine
// code without an operating system. It
//
//   - hashes up to 16 regions of memory with SHA-256 and compares the digest, so that
//     a crash kernel that the crashed kernel has overwritten is not started;
//   - copies a backup region, if there is one;
//   - sets the registers that the kernel's boot protocol requires, and jumps.
//
// If the digest is wrong, it writes one line to a serial port, if one was given,
// and halts.
//
// The code is written in the Go assembler (code/), and cut by the generator (gen)
// out of a linked program, so that building needs nothing but Go. It is position
// independent: the generator links it at three addresses and compares. It has the byte
// order of the kernels that it is for. Run the generator, with go generate,
// after a change in code/ or testcode/; a test fails if that was forgotten, or if
// another version of Go assembles something else.
//
// # Loading
//
// Get the code with Blob, fill in the parameters with Params.Patch, load it as
// a segment of MemSize bytes at a page-aligned address anywhere, below or above
// 4 GiB, and give that address plus Entry to kexec_load. It must not be among the
// regions. On riscv64 it is not needed to enter a kernel, only to check it.
//
// # Parameters
//
// They are one block, at an offset that the generator finds by its magic. Addresses
// are physical; numbers have the machine's byte order; sizes are in bytes.
//
//	offset  size  what
//	0x000      8  magic "GKXPURG1"
//	0x008      4  version, 1
//	0x00c      4  memory size of the purgatory, code included
//	0x010      8  flags: 1 skip the checks, 2 arm64: the kernel used SME
//	0x018      8  number of regions
//	0x020      8  address to enter
//	0x028      8  argument: boot_params or device tree
//	0x030      8  backup: address to copy from
//	0x038      8  backup: size, 0 for none
//	0x040      8  backup: address to copy to
//	0x048      8  serial port: I/O port or address
//	0x050      4  serial port: kind, a SerialKind
//	0x054      4  serial port: 8250 divisor, 0 to leave it as it is
//	0x058      8  zero
//	0x060     32  SHA-256 digest, as FIPS 180-4 writes it
//	0x080    256  16 regions of {address, size}
//	0x180     80  text for a mismatch, NUL at its end
//	0x1d0     80  text for an exception, NUL at its end
//
// # State at entry and exit
//
// x86-64, from arch/x86/kernel/relocate_kernel_64.S: long mode, an identity map of
// RAM and segments; no usable GDT, IDT or stack. It loads its own GDT with the
// selectors of Documentation/arch/x86/boot.rst, "64-bit Boot Protocol", an IDT (an
// NMI is ignored, any other exception reported), and a stack. SHA-NI is used if CPUID
// has it; CR0 and CR4 are changed for that alone, and restored. In an SEV-ES or TDX
// guest, where CPUID may raise an exception, it does without. The kernel is entered
// with rsi = argument, rsp = the end of the purgatory's memory, all other general
// registers 0, interrupts off, CS = 0x10, DS = ES = SS = 0x18.
//
// arm64, from arch/arm64/kernel/cpu-reset.S (cpu_soft_restart) and hyp-stub.S: EL1 or
// EL2, with or without HCR_EL2.E2H, MMU and data cache off, x0 = 0 after a crash. The
// data cache stays off, because turning it on means page tables over memory that is
// not understood; so a word of memory is a bus access, and the loops keep all else in
// registers. The instruction cache is turned on meanwhile. The SHA-256 instructions
// are used if ID_AA64ISAR0_EL1 has them; see Params.SME for the exception. The traps
// on SIMD are lifted for that and restored. The kernel is entered as
// Documentation/arch/arm64/booting.rst wants: x0 = argument, x1 = x2 = x3 = 0.
//
// riscv64, from arch/riscv/kernel/kexec_relocate.S (riscv_kexec_norelocate): S-mode,
// satp = 0, a0 = hart, a1 = device tree. Both are kept, a1 unless the argument is not
// 0. Documentation/arch/riscv/boot.rst.
//
// ppc64le, from arch/powerpc/kexec/core_64.c (kexec_sequence): real mode, r3 = number of the CPU. The kernel
// has copied the first 256 bytes to address 0 and sent the other CPUs to 0x60, so all of these but the first word, a
// branch, must be the new kernel's: the planner copies them. The number goes into the device tree (boot_cpuid_phys). The
// kernel is entered big-endian, as from an Open Firmware: r3 = argument, r4 = its address, r5 = 0.
//
// s390x, from arch/s390/kernel/machine_kexec.c: called twice as a function, DAT off, with the kernel's stack. With r2 = 0 it
// verifies and returns 0, or 1: then the kernel goes on with its panic and says so, which is why there is no serial port. With r2 = 1
// it enters the kernel, with all registers as they are.
//
// # Time
//
// Measured for a region of 64 MiB with BenchmarkVerify and BenchmarkMachine, on an AMD
// EPYC: 1,350 MB/s with SHA-NI, 260 MB/s without. Under QEMU 7.2's TCG: amd64 50 MB/s,
// arm64 80 MB/s, with the SHA-256 instructions 115 MB/s, riscv64 90 MB/s. A real arm64
// CPU reads uncached memory: 1 to 4 accesses for each 64 bytes, about 24 without the
// SHA-256 instructions, which should make a second or a few of 64 MiB (estimated).
package purgatory
