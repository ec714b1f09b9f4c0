package plan

import (
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/gokexec/gokexec/pkg/advice"
	"github.com/gokexec/gokexec/pkg/machine"
	"github.com/gokexec/gokexec/pkg/memmap"
)

const (
	maxSegments = 16 // KEXEC_SEGMENT_MAX (include/uapi/linux/kexec.h)

	// maxDestination is the end of the memory that a segment may lie in: 52 bits
	// of address, less with smaller page tables (KEXEC_DESTINATION_MEMORY_LIMIT).
	maxDestination = 1 << 52
)

// checkSegments holds the plan against the rules of kexec_load (kernel/
// kexec_core.c, sanity_check_segment_list, and kimage_alloc_init).
func (p *Plan) checkSegments(host *machine.Host) advice.Finding {
	const name = "segments"
	fail := func(errno unix.Errno, format string, args ...any) advice.Finding {
		return advice.Finding{Check: name, Level: advice.Failure, Detail: fmt.Sprintf(format, args...), Remedy: "this is a bug in gokexec, or the machine changed meanwhile; try again, and report it",
			Errno: []unix.Errno{errno}, Err: errno}
	}
	if n := len(p.Segments); n == 0 || n > maxSegments {
		return fail(unix.EINVAL, "%d segments; kexec_load takes 1 to %d", n, maxSegments)
	}
	var used memmap.Set
	var total uint64
	for _, s := range p.Segments {
		r := s.Range()
		switch {
		case r.Empty() || uint64(r.Start)%host.Page() != 0 || s.MemSize%host.Page() != 0 || r.End > maxDestination:
			return fail(unix.EADDRNOTAVAIL, "%s at %v, %d bytes, is not made of whole pages of memory", s.Role, s.Phys, s.MemSize)
		case used.Overlaps(r):
			return fail(unix.EINVAL, "%s at %v overlaps another segment", s.Role, r)
		case uint64(len(s.Data)) > s.MemSize:
			return fail(unix.EINVAL, "%s has %d bytes for %d of memory", s.Role, len(s.Data), s.MemSize)
		}
		used = used.Union(memmap.NewSet(r))
		total += s.MemSize
	}
	if host.MemTotal != 0 && total > host.MemTotal/2 {
		return advice.Finding{Check: name, Level: advice.Failure,
			Detail: fmt.Sprintf("the segments take %s, more than half of this machine's memory of %s", advice.MiB(total), advice.MiB(host.MemTotal)),
			Remedy: "use a smaller initrd", Errno: []unix.Errno{unix.EINVAL}, Err: unix.EINVAL}
	}
	if p.Kind == machine.Boot {
		if host.Iomem == nil {
			return advice.NotKnown(name, "the memory map is not known")
		}
		if bad := used.Minus(protocolOf(host.Arch.Machine).destinations(host)); !bad.Empty() {
			return fail(unix.EADDRNOTAVAIL, "segments at %v are not in RAM", bad)
		}
		return advice.Passed(name, "%d segments, %s", len(p.Segments), advice.MiB(total))
	}
	region, found := host.CrashRegion()
	if !found {
		return advice.NotKnown(name, "the crash memory is not known")
	}
	if bad := used.Minus(memmap.NewSet(region)); !bad.Empty() || !region.ContainsAddr(p.Entry) {
		return fail(unix.EADDRNOTAVAIL, "segments at %v or the entry %v are outside of the crash memory %v", bad, p.Entry, region)
	}
	free := memmap.NewSet(region).Minus(used)
	if free.Size() < ControlPages(host) {
		return fail(unix.ENOMEM, "%s are left of the crash memory; the kernel needs %s for itself", advice.MiB(free.Size()), advice.MiB(ControlPages(host)))
	}
	if len(p.E820) > 0 {
		free = free.Intersect(ramOf(p.E820))
	}
	return p.checkLeft(name, region, free.Size())
}

// checkLeft judges the memory that the crash kernel has left to run in.
func (p *Plan) checkLeft(name advice.CheckID, region memmap.Range, left uint64) advice.Finding {
	if initrd := p.InitrdSize(); left < 3*initrd {
		return advice.Finding{Check: name, Level: advice.Warning,
			Detail: fmt.Sprintf("%s of %s are left for the capture kernel to run in, and its initrd of %s has to be unpacked there", advice.MiB(left), advice.MiB(region.Size()), advice.MiB(initrd)),
			Remedy: "enlarge crashkernel= or use a smaller initrd (gokexec initramfs makes one)"}
	}
	return advice.Passed(name, "%s of %s are left to run in", advice.MiB(left), advice.MiB(region.Size()))
}

// checkLoadAllowed: no signature can be checked of segments, so a kernel that is
// locked down refuses them all (kernel/kexec.c, kexec_load_check).
func (p *Plan) checkLoadAllowed(host *machine.Host) advice.Finding {
	const name = "signature"
	if host.LockedDown() {
		return advice.Finding{Check: name, Level: advice.Failure,
			Detail: fmt.Sprintf("lockdown is %s: the kernel refuses kexec_load", host.Lockdown),
			Remedy: "use --method file with a signed kernel image, or turn Secure Boot or lockdown= off",
			Errno:  []unix.Errno{unix.EPERM}, Err: unix.EPERM}
	}
	if host.Config.Off("KEXEC") {
		return advice.Finding{Check: name, Level: advice.Failure,
			Detail: "kernel " + host.Release + " was built without CONFIG_KEXEC: kexec_load is not there",
			Remedy: "use --method file", Errno: []unix.Errno{unix.ENOSYS}, Err: unix.ENOSYS}
	}
	return advice.Passed(name, "the kernel asks for none of kexec_load")
}
