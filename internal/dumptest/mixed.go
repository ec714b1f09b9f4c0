package dumptest

// Page frames of the memory of MixedCore that follows the kernel's.
const MixedFirst, MixedEnd = 0x3400, 0x3600

// MixedKind is what a page frame of MixedCore is: of four that follow the kernel's, one is of each of user
// and free memory.
func MixedKind(pfn uint64) int {
	switch {
	case pfn >= MixedFirst && pfn%4 == 3:
		return PageUser
	case pfn >= MixedFirst && pfn%4 == 1:
		return PageFree
	}
	return PageKernel
}

// MixedZero tells whether a page frame of MixedCore that follows the kernel's is one of zeroes.
func MixedZero(pfn uint64) bool { return pfn%8 >= 6 }

// MixedCore is the dump of an x86_64 kernel with one line in its log, and with memory of each kind, some of it
// zero, in its second segment.
func MixedCore() *Core { return mixedCore(MixedKind) }

// MixedDamaged is the page frame of DamagedCore that is damaged.
const MixedDamaged = MixedFirst + 4

// DamagedCore is MixedCore with a page that must not be read.
func DamagedCore() *Core {
	return mixedCore(func(pfn uint64) int {
		if pfn == MixedDamaged {
			return PageDamaged
		}
		return MixedKind(pfn)
	})
}

func mixedCore(kind func(pfn uint64) int) *Core {
	m := NewImage(Archs[0], "6.12.107")
	m.AddLinux("6.12.107", MixedEnd, kind)
	r := NewRing(m, RingConfig{CountBits: 4, SizeBits: 10})
	r.Add(Entry{Time: 42123999000, Text: []byte("Kernel panic - not syncing: sysrq triggered crash")}, Finalized)
	r.Store()
	m.Alloc(4096, 4096) // makedumpfile leaves out the last page when only a part of it is there
	c := m.Core()
	data := make([]byte, (MixedEnd-MixedFirst)*4096)
	for i := range data {
		if pfn := uint64(MixedFirst + i>>12); !MixedZero(pfn) {
			data[i] = byte(i*i>>5 ^ int(pfn))
		}
	}
	c.Loads = append(c.Loads, Load{Phys: MixedFirst << 12, Virt: 0xffff888000000000 + MixedFirst<<12, Data: data})
	return c
}
