package plan

import (
	"fmt"

	"github.com/gokexec/gokexec/pkg/advice"
	"github.com/gokexec/gokexec/pkg/machine"
	"github.com/gokexec/gokexec/pkg/memmap"
)

// checkInterrupts warns of what a GICv3 does to the kernel after this one. Its
// tables for message interrupts are in memory that the running kernel has chosen,
// and once it is told of them most can't be told of others. Under UEFI the next
// kernel finds them reserved (LINUX_EFI_MEMRESERVE_TABLE; drivers/irqchip/
// irq-gic-v3-its.c, gic_reserve_range); else it takes that memory for free, with
// whatever comes to lie there. A crash kernel has memory of its own.
func (p *Plan) checkInterrupts(host *machine.Host) advice.Finding {
	const name = "interrupt controller"
	if host.DeviceTree == nil {
		return advice.NotKnown(name, "the device tree is not known")
	}
	root := host.DeviceTree.Root
	uefi := false
	if chosen := root.Child("chosen"); chosen != nil {
		_, uefi = chosen.Property("linux,uefi-system-table")
	}
	if uefi || !machine.HasCompatible(root, "arm,gic-v3-its") {
		return advice.Passed(name, "nothing of it is in the way")
	}
	return advice.Finding{Check: name, Level: advice.Warning,
		Detail: "this machine has a GICv3 with an ITS and no UEFI: the interrupt controller goes on using tables of the running kernel, in memory that the next one takes for free and may be overwritten in",
		Remedy: "boot with UEFI, which tells of them; or reboot instead; a crash kernel is not concerned"}
}

// checkFirmware warns of memory in the kernel's own header that no kernel can read:
// tools that stop at the first error save nothing of such a dump.
func (p *Plan) checkFirmware(host *machine.Host) advice.Finding {
	const name = "firmware memory"
	if p.Method == Segments || p.Kind != machine.Crash || host.Dump == nil {
		return advice.Passed(name, "the dump has none")
	}
	firmware := host.Dump.FirmwareRAM()
	if firmware.Empty() {
		return advice.Passed(name, "the kernel does not take it for RAM")
	}
	return advice.Finding{Check: name, Level: advice.Warning,
		Detail: fmt.Sprintf("kexec_file_load puts memory of the firmware, which can't be read, into the dump: %v", firmware.Ranges()),
		Remedy: "use kexec_load (--method segments), or update the firmware: OpenSBI 1.3 and later tell the kernel to leave it alone"}
}

// dtFileSegments are the kernel's buffers in the order it places them (arch/arm64/
// kernel/kexec_image.c and machine_kexec_file.c; arch/riscv/kernel/elf_kexec.c).
func (p *Plan) dtFileSegments(host *machine.Host, withPurgatory bool) []memmap.Hole {
	const elfcorehdrAlign = 64 << 10
	kernel := memmap.Hole{Size: host.PageUp(max(p.Image.MemSize, uint64(p.Image.Size()))), Align: imageAlign}
	if a := p.Image.ARM64; a != nil {
		kernel.Size += a.TextOffset
	}
	segments := []memmap.Hole{kernel, {Size: elfcorehdrAlign, Align: elfcorehdrAlign, TopDown: true}}
	if withPurgatory {
		segments = append(segments, memmap.Hole{Size: purgatoryShare, Align: host.Page(), TopDown: true})
	}
	if size := p.InitrdSize(); size > 0 {
		segments = append(segments, memmap.Hole{Size: host.PageUp(size), Align: host.Page(), TopDown: true})
	}
	return append(segments, memmap.Hole{Size: host.PageUp(bootParamsShare), Align: imageAlign, TopDown: true}) // the device tree
}
