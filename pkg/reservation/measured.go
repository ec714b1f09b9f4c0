package reservation

import "debug/elf"

// Measured is the smallest reservation with which a machine saved a dump three times in turn and had 6 MB
// left, in steps of 8 MiB: below it the capture kernel ran out of memory, or might have. `BENCHFLAGS='-parts smallest' make bench` prints such rows, for the kernels that
// GOKEXEC_VM_MATRIX names, in a machine of 512 MiB under QEMU with one CPU.
type Measured struct {
	Release string // of the kernel
	Arch    elf.Machine
	Target  string // kind of the target: raw, ext4, ...
	// MiB: the reservation. KiB: what the kernel's image needs to start; the capture
	// initramfs as it was loaded, and unpacked.
	SmallestMiB, ImageKiB, PackedKiB, UnpackedKiB uint64
}

// MeasuredTable lists what was measured.
func MeasuredTable() []Measured {
	return []Measured{
		{"6.1.0-57-cloud-amd64", elf.EM_X86_64, "raw", 88, 52704, 3604, 9381},
		{"6.1.0-57-cloud-amd64", elf.EM_X86_64, "ext4", 88, 52704, 3383, 8761},
		{"6.12.118+deb13-cloud-amd64", elf.EM_X86_64, "raw", 88, 57208, 3604, 9381},
		{"6.12.118+deb13-cloud-amd64", elf.EM_X86_64, "ext4", 88, 57208, 3604, 9381},
		{"7.3.4+deb13-cloud-amd64", elf.EM_X86_64, "raw", 96, 61668, 3604, 9381},
	}
}

// rest is what a capture took beyond kernel and initramfs, in bytes: what the kernel allocates as it starts,
// drivers, filesystem, and gokexec with its filter and its compressors.
func (m *Measured) rest() uint64 {
	known := (m.ImageKiB + m.PackedKiB + m.UnpackedKiB) << 10
	return m.SmallestMiB<<20 - min(m.SmallestMiB<<20, known)
}

// largestRest is the largest that was measured for an architecture; of one that was not, for any. Targets
// differ less than kernels do.
func largestRest(arch elf.Machine) (largest uint64, of Measured) {
	for _, own := range []bool{true, false} {
		for _, row := range MeasuredTable() {
			if rest := row.rest(); rest > largest && (row.Arch == arch || !own) {
				largest, of = rest, row
			}
		}
		if largest > 0 {
			break
		}
	}
	return largest, of
}
