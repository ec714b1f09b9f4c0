package pagefilter

import (
	"context"
	"fmt"
	"math/bits"
	"sync"

	"github.com/gokexec/gokexec/pkg/memmap"
	"github.com/gokexec/gokexec/pkg/vmcore"
)

// Memory is the memory of a crashed machine; every kdumpfile.Dump is one.
type Memory interface {
	vmcore.Memory
	// ReadPhysAt fills b with the memory at a physical address. The error says why it has read
	// less than len(b).
	ReadPhysAt(b []byte, addr memmap.PhysAddr) (int, error)
	// NextMemory returns the first stretch of the machine's memory at or after addr, whole pages;
	// io.EOF after the last.
	NextMemory(addr memmap.PhysAddr) (memmap.Range, error)
}

// viewer is a Memory that may have its contents in this process: elfcore.File says how ViewVirt works.
type viewer interface {
	ViewVirt(addr uint64, n int, use func(b []byte)) bool
}

// WindowPages is how many page frames Classify takes at most. No compound page or free block of
// any kernel crosses a multiple of it (hugetlb: 1 GiB with pages of 4 KiB, 16 GiB with 64 KiB).
const WindowPages = 1 << 18

// Options change what New does. The zero value is the default.
type Options struct {
	// Keep is memory that is never left out, in addition to the kernel image.
	Keep memmap.Set
}

// Filter classifies the page frames of one crashed machine. It may be used concurrently if its
// Memory may.
type Filter struct {
	mem   Memory
	view  viewer // mem, if it is one; or nil
	info  *vmcore.VMCoreInfo
	rules rules
	pages pageArray
	shift uint           // log2 of the page size in bytes
	keep  []memmap.Range // ascending: kernel image, Options.Keep

	batches sync.Pool // *[]byte
	windows sync.Pool // *[]Class
}

// New reads what a filter must know. An error means that nothing can be filtered: the dump has
// no VMCOREINFO, or no struct page can be found with it.
func New(mem Memory, opt Options) (f *Filter, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("the dump can't be read: %v", p)
		}
		if err != nil {
			f, err = nil, fmt.Errorf("page filter: %w", err)
		}
	}()
	info, err := mem.VMCoreInfo()
	if err != nil {
		return nil, err
	}
	f = &Filter{mem: mem, info: info}
	f.view, _ = mem.(viewer)
	if info.PageSize < 4096 || info.PageSize > 1<<16 || info.PageSize&(info.PageSize-1) != 0 {
		return nil, fmt.Errorf("VMCOREINFO: PAGESIZE is %d; want a power of two from 4096 to 65536", info.PageSize)
	}
	f.shift = uint(bits.TrailingZeros64(info.PageSize))
	if f.rules, err = newRules(mem.Platform(), info); err != nil {
		return nil, err
	}
	if f.pages, err = findPageArray(mem, info, f.rules.size); err != nil {
		return nil, err
	}
	space := vmcore.NewAddressSpace(mem.Platform(), info, mem, vmcore.Hints{})
	keep := memmap.NewSet(append(kernelImage(mem, info, space), opt.Keep.Ranges()...)...)
	f.keep = keep.Ranges()
	f.batches.New = func() any { b := make([]byte, batchPages*f.rules.size); return &b }
	f.windows.New = func() any { c := make([]Class, WindowPages); return &c }
	return f, nil
}

// Classify finds the classes of the page frames from first on, one for each element of classes.
// first is a multiple of WindowPages, and classes has at most WindowPages elements. What is no
// memory of the machine is Kept. The error is that of ctx or of NextMemory.
func (f *Filter) Classify(ctx context.Context, first uint64, classes []Class) error {
	if first%WindowPages != 0 || len(classes) > WindowPages {
		return fmt.Errorf("page filter: %d page frames from %#x are no window", len(classes), first)
	}
	_, err := f.classify(ctx, first, classes, left{})
	return err
}

// left are classes that are left out anyway: within a free block or a compound page of one of them no page is told
// apart, though it be damaged, and what belongs to it is hardly looked at.
type left [NumClasses]bool

// tally is what a classification finds in addition to the classes.
type tally struct {
	unreadable uint64 // page frames whose struct page can't be read
	keptFree   uint64 // free page frames of the kernel image or Options.Keep
}

// classify is Classify for any page frames. A Memory that panics, as a mapped file does where it
// has become shorter, costs nothing but the classes of these page frames.
func (f *Filter) classify(ctx context.Context, first uint64, classes []Class, left left) (n tally, err error) {
	defer func() {
		if p := recover(); p != nil {
			clear(classes)
			n, err = tally{unreadable: uint64(len(classes))}, nil
		}
	}()
	clear(classes)
	s := f.newScan(first, classes, left)
	defer s.close()
	err = f.eachMemory(first, first+uint64(len(classes)), func(from, to uint64) error {
		s.endRun()
		for from < to {
			if err := ctx.Err(); err != nil {
				return err
			}
			from += s.batch(from, to)
		}
		return nil
	})
	n.unreadable = s.unreadable
	for _, r := range f.keep {
		from, to := max(f.frame(r.Start), first), min(f.frameUp(r.End), first+uint64(len(classes)))
		for pfn := from; pfn < to; pfn++ {
			if classes[pfn-first] == Free {
				n.keptFree++
			}
			classes[pfn-first] = Kept
		}
	}
	return n, err
}

// eachMemory calls do with each stretch of page frames [from, to) of the machine's memory within
// [first, end).
func (f *Filter) eachMemory(first, end uint64, do func(from, to uint64) error) error {
	for at := first; at < end; {
		r, err := nextMemory(f.mem, memmap.PhysAddr(at<<f.shift))
		if err != nil {
			return err
		}
		from, to := max(f.frame(r.Start), at), min(f.frameUp(r.End), end)
		if r.Empty() || from >= end {
			return nil
		}
		if from < to {
			if err := do(from, to); err != nil {
				return err
			}
		}
		at = max(to, at+1)
	}
	return nil
}

func (f *Filter) frame(a memmap.PhysAddr) uint64 { return uint64(a) >> f.shift }

// frameUp is the frame after the last byte before a.
func (f *Filter) frameUp(a memmap.PhysAddr) uint64 {
	n := uint64(a) >> f.shift
	if uint64(a)&(1<<f.shift-1) != 0 {
		n++
	}
	return n
}
