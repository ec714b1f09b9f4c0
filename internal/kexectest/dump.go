package kexectest

import (
	"debug/elf"
	"encoding/binary"
	"fmt"

	"github.com/gokexec/gokexec/pkg/memmap"
)

// What NewMachine's kernel has where.
const (
	PageOffset = 0xffff888000000000 // of the direct map
	TextVirt   = 0xffffffff81000000 // of the kernel image, which is at 0x1000000
	VMCoreInfo = 0x3a3000           // the note
	CrashNotes = 0x3fd08000         // CPU 0's
)

// writeDump adds what an elfcorehdr is built from: CPUs, VMCOREINFO and kcore.
func (m *Machine) writeDump() {
	m.WriteCPU(0, CrashNotes)
	m.Write("sys/kernel/vmcoreinfo", fmt.Sprintf("%#x 1024\n", VMCoreInfo))
	m.WriteKcore(memmap.Range{Start: 0x1000, End: 0x9f000}, memmap.Range{Start: 0x100000, End: 0x3ffdf000})
}

// WriteCPU adds a present CPU with its notes at a physical address.
func (m *Machine) WriteCPU(number int, notes uint64) {
	dir := fmt.Sprintf("sys/devices/system/cpu/cpu%d/", number)
	m.Write(dir+"crash_notes", fmt.Sprintf("%x\n", notes))
	m.Write(dir+"crash_notes_size", "504\n")
}

// WriteKcore writes the headers of /proc/kcore (fs/proc/kcore.c) of an x86_64
// machine with that RAM: the kernel image and the direct map.
func (m *Machine) WriteKcore(ram ...memmap.Range) {
	le := binary.LittleEndian
	type load struct{ virt, phys, size uint64 }
	loads := []load{{TextVirt, 0x1000000, 0x2200000}}
	for _, r := range ram {
		loads = append(loads, load{PageOffset + uint64(r.Start), uint64(r.Start), r.Size()})
	}
	b := make([]byte, 64, 64+56*len(loads))
	copy(b, elf.ELFMAG)
	b[elf.EI_CLASS], b[elf.EI_DATA], b[elf.EI_VERSION] = byte(elf.ELFCLASS64), byte(elf.ELFDATA2LSB), 1
	le.PutUint16(b[16:], uint16(elf.ET_CORE))
	le.PutUint16(b[18:], uint16(elf.EM_X86_64))
	le.PutUint32(b[20:], 1)
	le.PutUint64(b[32:], 64)
	le.PutUint16(b[52:], 64)
	le.PutUint16(b[54:], 56)
	le.PutUint16(b[56:], uint16(len(loads)))
	for _, l := range loads {
		b = le.AppendUint32(b, uint32(elf.PT_LOAD))
		b = le.AppendUint32(b, 7)
		b = le.AppendUint64(b, kcoreContent+l.phys)
		b = le.AppendUint64(b, l.virt)
		b = le.AppendUint64(b, l.phys)
		b = le.AppendUint64(b, l.size)
		b = le.AppendUint64(b, l.size)
		b = le.AppendUint64(b, pageSize)
	}
	m.writeKcoreAt(b, 0) // what is in memory stays
}

// WriteFirmware writes /sys/firmware/memmap, an entry per range.
func (m *Machine) WriteFirmware(entries ...memmap.FirmwareEntry) {
	for i, e := range entries {
		dir := fmt.Sprintf("sys/firmware/memmap/%d/", i)
		m.Write(dir+"start", fmt.Sprintf("%#x\n", uint64(e.Start)))
		m.Write(dir+"end", fmt.Sprintf("%#x\n", uint64(e.End)-1))
		m.Write(dir+"type", e.Type+"\n")
	}
}
