package plan

import (
	"cmp"
	"errors"
	"slices"

	"github.com/gokexec/gokexec/internal/purgatory"
	"github.com/gokexec/gokexec/pkg/advice"
	"github.com/gokexec/gokexec/pkg/machine"
	"github.com/gokexec/gokexec/pkg/memmap"
)

// Role says what a segment is.
type Role string

// The roles.
const (
	RolePurgatory  Role = "purgatory"
	RoleElfcorehdr Role = "elfcorehdr"
	RoleBackup     Role = "backup"
	RoleBootParams Role = "boot_params"
	RoleDTB        Role = "dtb"
	RoleKernel     Role = "kernel"
	RoleInitrd     Role = "initrd"
	RoleCmdline    Role = "cmdline"
)

// Segment is a piece of memory that kexec_load fills.
type Segment struct {
	Role    Role
	Phys    memmap.PhysAddr
	MemSize uint64 // bytes, whole pages
	Align   uint64 // bytes, that Phys had to be aligned to
	Data    []byte // the beginning; what follows up to MemSize is zero
	Checked bool   // its data is part of the digest that the purgatory checks
}

// Range is the memory of the segment.
func (s *Segment) Range() memmap.Range {
	return memmap.Range{Start: s.Phys, End: s.Phys + memmap.PhysAddr(s.MemSize)}
}

// layout places segments into free memory, one after the other.
type layout struct {
	plan     *Plan
	free     memmap.Set
	topDown  bool
	segments []Segment
}

// newLayout: a crash kernel and all that goes with it must lie in the highest
// crash region. An ordinary one may lie in any memory that is RAM for both
// kernels. The first MiB is left alone, and the crash region, which is mapped
// read-only.
func newLayout(host *machine.Host, p *Plan) (*layout, error) {
	if host.Iomem == nil {
		err := host.IomemErr
		return nil, &advice.Problem{What: "the memory map is not known: " + errorText(err), Err: err,
			Hint: machine.ReadHint(err, "--method file leaves it to the kernel; gokexec collect keeps what a report of this needs")}
	}
	bounds := p.Spec.Options.bounds()
	if p.Kind == machine.Boot {
		free := protocolOf(host.Arch.Machine).destinations(host).Intersect(bounds)
		if len(p.E820) > 0 {
			free = free.Intersect(ramOf(p.E820)).Minus(memmap.NewSet(append(slices.Clone(host.Crash), memmap.Range{End: 1 << 20})...))
		}
		return &layout{plan: p, free: free}, nil
	}
	region, found := host.CrashRegion()
	if !found {
		f := CheckCrashMemory(host)
		return nil, f.Problem()
	}
	return &layout{plan: p, free: memmap.NewSet(region).Intersect(bounds), topDown: true}, nil
}

// placeElfcorehdr puts the elfcorehdr at the beginning of the crash region, as
// kexec_file_load does: who looks for the header that is loaded finds it on the
// first page, and never an old one there. From the bottom up, it is the lowest place
// that is left. Behind it the kernel has room for its
// control pages, which it takes from the lowest free addresses (kernel/
// kexec_core.c, kimage_alloc_crash_control_pages).
func (l *layout) placeElfcorehdr(host *machine.Host, size uint64) (memmap.Range, error) {
	hole := memmap.Hole{Size: size}
	if ranges := l.free.Ranges(); l.topDown && len(ranges) > 0 {
		hole.Min = memmap.PhysAddr(host.PageUp(uint64(ranges[0].Start)))
		hole.Max = hole.Min + memmap.PhysAddr(host.PageUp(size))
	}
	at, err := l.place(host, RoleElfcorehdr, hole)
	if err == nil {
		control := memmap.Range{Start: at.End, End: at.End + memmap.PhysAddr(ControlPages(host))}
		l.free = l.free.Minus(memmap.NewSet(control))
	}
	return at, err
}

func errorText(err error) string {
	if err == nil {
		return "no /proc/iomem"
	}
	return err.Error()
}

// place finds room for size bytes and adds the segment, still without data.
func (l *layout) place(host *machine.Host, role Role, h memmap.Hole) (memmap.Range, error) {
	h.Size, h.Align, h.TopDown = host.PageUp(h.Size), max(h.Align, host.Page()), l.topDown
	r, err := l.free.Place(h)
	if errors.Is(err, memmap.ErrNoSpace) {
		return r, l.noRoom(host, role, h, err)
	}
	if err != nil {
		return r, err
	}
	l.free = l.free.Minus(memmap.NewSet(r))
	l.segments = append(l.segments, Segment{Role: role, Phys: r.Start, MemSize: r.Size(), Align: h.Align})
	return r, nil
}

func (l *layout) noRoom(host *machine.Host, role Role, h memmap.Hole, err error) error {
	if l.plan.Kind == machine.Boot {
		return &advice.Problem{What: "no room in memory for the " + string(role) + " of " + advice.MiB(h.Size) + ": " + err.Error(), Hint: "use a smaller initrd", Err: err}
	}
	region, _ := host.CrashRegion()
	total := ControlPages(host) + l.plan.InitrdSize() + h.Size
	for _, s := range l.segments {
		total += s.MemSize
	}
	p := l.plan.noRoom("", region, total).Problem()
	p.Err = errors.Join(p.Err, err)
	return p
}

// placeInitrd places an initrd, if there is one, in the hole, and gives the memory that it takes to the byte.
func (l *layout) placeInitrd(host *machine.Host, initrd []byte, h memmap.Hole) (at memmap.Range, err error) {
	if len(initrd) == 0 {
		return at, nil
	}
	h.Size = uint64(len(initrd))
	if at, err = l.place(host, RoleInitrd, h); err != nil {
		return at, err
	}
	l.fill(RoleInitrd, initrd)
	at.End = at.Start + memmap.PhysAddr(len(initrd))
	return at, nil
}

// placePurgatory places the purgatory in the hole; addPurgatory fills it.
func (l *layout) placePurgatory(host *machine.Host, h memmap.Hole) error {
	size, err := purgatory.MemSize(l.plan.Arch.Machine)
	if err != nil {
		return err
	}
	h.Size, h.Align = size, purgatory.Align
	_, err = l.place(host, RolePurgatory, h)
	return err
}

// fill sets the data of the segment of that role.
func (l *layout) fill(role Role, data []byte) {
	for i := range l.segments {
		if l.segments[i].Role == role {
			l.segments[i].Data = data
		}
	}
}

// sorted gives the segments by address.
func (l *layout) sorted() []Segment {
	slices.SortFunc(l.segments, func(a, b Segment) int { return cmp.Compare(a.Phys, b.Phys) })
	return l.segments
}

// otherControlPages is what the kernel takes of the crash memory in addition to page tables:
// control code, a copy of VMCOREINFO, and the mappings of segments, EFI and ACPI tables.
const otherControlPages = 64

// ControlPages bounds what the kernel takes of the crash region for itself, in bytes.
func ControlPages(host *machine.Host) uint64 { return protocolOf(host.Arch.Machine).controlPages(host) }

// countBlocks counts the blocks of 1<<shift bytes that the set has a part of; if
// partial, only those that it has not all of.
func countBlocks(s memmap.Set, shift uint, partial bool) uint64 {
	var n uint64
	next := uint64(0) // the first block not counted yet
	size := uint64(1) << shift
	for _, r := range s.Ranges() {
		first, last := uint64(r.Start)>>shift, uint64(r.End-1)>>shift
		blocks := last - max(first, next) + 1
		if last < next {
			blocks = 0
		}
		if partial {
			whole := uint64(0)
			if from, to := memmap.RoundUp(uint64(r.Start), size)>>shift, uint64(r.End)>>shift; to > from {
				whole = to - from
			}
			blocks -= min(blocks, whole)
		}
		n += blocks
		next = max(next, last+1)
	}
	return n
}
