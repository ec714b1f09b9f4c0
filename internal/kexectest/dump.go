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

// mapping is where a machine's kernel has its memory.
type mapping struct {
	machine                  elf.Machine
	direct                   uint64 // virtual address of physical address 0 in the direct map
	ramBase                  uint64 // lowest RAM
	text, textSize, textVirt uint64 // the kernel image; textVirt 0: /proc/kcore does not have it
	info                     string // VMCOREINFO in /proc/kcore
	page                     uint64 // bytes; 0: 4 KiB
}

// WriteKcore writes the headers of /proc/kcore (fs/proc/kcore.c) of a machine with
// that RAM: a note, the kernel image and the direct map.
func (m *Machine) WriteKcore(ram ...memmap.Range) {
	order, encoding := byteOrder(m.arch.machine)
	type load struct{ virt, phys, size uint64 }
	var loads []load
	if m.arch.textVirt != 0 {
		loads = append(loads, load{m.arch.textVirt, m.arch.text, m.arch.textSize})
	}
	for _, r := range ram {
		loads = append(loads, load{m.arch.direct + uint64(r.Start), uint64(r.Start), r.Size()})
	}
	var notes []byte
	if m.arch.info != "" {
		notes = order.AppendUint32(notes, uint32(len("VMCOREINFO")+1))
		notes = order.AppendUint32(notes, uint32(len(m.arch.info)))
		notes = append(append(notes, 0, 0, 0, 0), "VMCOREINFO\x00\x00"...)
		notes = append(notes, m.arch.info...)
	}
	b := make([]byte, 64, 64+56*(len(loads)+1))
	copy(b, elf.ELFMAG)
	b[elf.EI_CLASS], b[elf.EI_DATA], b[elf.EI_VERSION] = byte(elf.ELFCLASS64), byte(encoding), 1
	order.PutUint16(b[16:], uint16(elf.ET_CORE))
	order.PutUint16(b[18:], uint16(m.arch.machine))
	order.PutUint32(b[20:], 1)
	order.PutUint64(b[32:], 64)
	order.PutUint16(b[52:], 64)
	order.PutUint16(b[54:], 56)
	order.PutUint16(b[56:], uint16(len(loads)+1))
	b = order.AppendUint32(b, uint32(elf.PT_NOTE))
	b = order.AppendUint32(b, 0)
	for _, v := range []uint64{64 + 56*uint64(len(loads)+1), 0, 0, uint64(len(notes)), 0, 0} {
		b = order.AppendUint64(b, v)
	}
	for _, l := range loads {
		b = order.AppendUint32(b, uint32(elf.PT_LOAD))
		b = order.AppendUint32(b, 7)
		b = order.AppendUint64(b, kcoreContent+l.phys-m.arch.ramBase)
		b = order.AppendUint64(b, l.virt)
		b = order.AppendUint64(b, l.phys)
		b = order.AppendUint64(b, l.size)
		b = order.AppendUint64(b, l.size)
		b = order.AppendUint64(b, pageSize)
	}
	m.writeKcoreAt(append(b, notes...), 0) // what is in memory stays
}

// byteOrder is that of a machine's numbers.
func byteOrder(m elf.Machine) (interface {
	binary.ByteOrder
	binary.AppendByteOrder
}, elf.Data) {
	if m == elf.EM_S390 {
		return binary.BigEndian, elf.ELFDATA2MSB
	}
	return binary.LittleEndian, elf.ELFDATA2LSB
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
