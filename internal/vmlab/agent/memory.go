package main

import (
	"debug/elf"
	"encoding/binary"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"unsafe"

	"github.com/gokexec/gokexec/internal/vmlab/wire"
	"golang.org/x/sys/unix"
)

// plant fills pages that stay mapped and locked, and are never touched again.
func plant(args wire.PlantArgs) (*wire.PlantResult, error) {
	if len(args.Nonce) != wire.NonceSize || args.Pages < 1 || args.Pages > 1<<14 {
		return nil, fmt.Errorf("a nonce of %d bytes on %d pages; want %d bytes, 1 to %d pages",
			len(args.Nonce), args.Pages, wire.NonceSize, 1<<14)
	}
	switch args.Kind {
	case wire.PlantCache:
		return plantCache(args)
	case wire.PlantKernel:
		return plantPipe(args)
	case wire.PlantFreed:
		return plantFreed(args)
	}
	if args.Max == 0 {
		args.Max = ^uint64(0)
	}
	pages, err := scatteredPages(args)
	if err != nil {
		return nil, err
	}
	for i, page := range pages {
		wire.FillNoncePage(page, args.Nonce, uint64(i))
		if err := unix.Mlock(page); err != nil {
			return nil, fmt.Errorf("mlock: %w", err)
		}
	}
	return locate(pages)
}

// scatteredPages gets eight times as many pages as wanted and keeps random
// ones of those between the bounds, until enough are found or half of the free
// memory has been looked at; with bounds nearly all, since memory that came last may
// be given last.
func scatteredPages(args wire.PlantArgs) ([][]byte, error) {
	size := os.Getpagesize()
	var info unix.Sysinfo_t
	if err := unix.Sysinfo(&info); err != nil {
		return nil, fmt.Errorf("sysinfo: %w", err)
	}
	budget := uint64(info.Freeram) * uint64(info.Unit) / uint64(size) / 2
	if args.Min != 0 {
		budget += budget * 3 / 4
	}
	batch := uint64(args.Pages) * 8
	var kept [][]byte
	var regions []*region
	defer func() {
		// Freed only now, or the next region would get the same pages again.
		for _, r := range regions {
			r.free()
		}
	}()
	pagemap, err := os.Open("/proc/self/pagemap")
	if err != nil {
		return nil, err
	}
	defer pagemap.Close()
	for looked := uint64(0); len(kept) < args.Pages; looked += batch {
		if looked > budget {
			return nil, fmt.Errorf("only %d of %d pages found in [%#x..%#x) after looking at %d",
				len(kept), args.Pages, args.Min, args.Max, looked)
		}
		r, err := newRegion(int(batch), size)
		if err != nil {
			return nil, err
		}
		regions = append(regions, r)
		addrs, err := physical(pagemap, r.mem, size)
		if err != nil {
			return nil, err
		}
		for _, i := range rand.Perm(int(batch)) {
			if len(kept) < args.Pages && addrs[i] >= args.Min && addrs[i] < args.Max {
				kept = append(kept, r.keep(i))
			}
		}
	}
	return kept, nil
}

// region is memory that was mapped as one, none of it part of a huge page.
type region struct {
	mem  []byte
	size int // bytes of a page
	kept map[int]bool
}

// newRegion maps n pages and touches them.
func newRegion(n, size int) (*region, error) {
	p, err := unix.MmapPtr(-1, 0, nil, uintptr(n*size), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
	if err != nil {
		return nil, fmt.Errorf("mmap of %d pages: %w", n, err)
	}
	r := &region{mem: unsafe.Slice((*byte)(p), n*size), size: size, kept: map[int]bool{}}
	_ = unix.Madvise(r.mem, unix.MADV_NOHUGEPAGE)
	for i := 0; i < len(r.mem); i += size {
		r.mem[i] = 1
	}
	return r, nil
}

// keep returns a page that free leaves alone.
func (r *region) keep(i int) []byte {
	r.kept[i] = true
	return r.mem[i*r.size : (i+1)*r.size : (i+1)*r.size]
}

func (r *region) free() {
	for i, n := 0, len(r.mem)/r.size; i < n; i++ {
		first := i
		for i < n && !r.kept[i] {
			i++
		}
		if i > first {
			_ = unix.MunmapPtr(unsafe.Pointer(&r.mem[first*r.size]), uintptr((i-first)*r.size))
		}
	}
}

// physical returns where the pages of a piece of memory are, through /proc/self/pagemap
// (Documentation/admin-guide/mm/pagemap.rst: bits 0-54 are the frame number,
// bit 63 says present).
func physical(pagemap *os.File, mem []byte, size int) ([]uint64, error) {
	b := make([]byte, len(mem)/size*8)
	at := uint64(uintptr(unsafe.Pointer(unsafe.SliceData(mem)))) / uint64(size) * 8
	if _, err := pagemap.ReadAt(b, int64(at)); err != nil {
		return nil, err
	}
	addrs := make([]uint64, len(mem)/size)
	for i := range addrs {
		entry := binary.NativeEndian.Uint64(b[8*i:])
		if entry>>63 == 0 || entry&(1<<55-1) == 0 {
			return nil, fmt.Errorf("pagemap entry %#x: the page is not in memory", entry)
		}
		addrs[i] = entry & (1<<55 - 1) * uint64(size)
	}
	return addrs, nil
}

// locate tells where pages are.
func locate(pages [][]byte) (*wire.PlantResult, error) {
	pagemap, err := os.Open("/proc/self/pagemap")
	if err != nil {
		return nil, err
	}
	defer pagemap.Close()
	result := &wire.PlantResult{PageSize: os.Getpagesize()}
	for _, page := range pages {
		addrs, err := physical(pagemap, page, len(page))
		if err != nil {
			return nil, err
		}
		result.Phys = append(result.Phys, addrs[0])
	}
	return result, nil
}

// readPhysical copies physical memory to w: from /dev/mem, where
// CONFIG_STRICT_DEVMEM shows RAM below 1 MiB as zeros and refuses the rest, or
// from /proc/kcore, which shows all RAM through the direct map.
func readPhysical(args wire.MemoryArgs, w io.Writer) error {
	var path string
	offset := int64(args.Addr)
	switch args.Source {
	case "mem":
		path = "/dev/mem"
	case "kcore":
		path = "/proc/kcore"
		var err error
		if offset, err = kcoreOffset(args.Addr, args.Length); err != nil {
			return err
		}
	default:
		return fmt.Errorf("unknown memory source %q", args.Source)
	}
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	r := io.NewSectionReader(f, offset, int64(args.Length))
	n, err := io.CopyBuffer(struct{ io.Writer }{w}, struct{ io.Reader }{r}, make([]byte, wire.Chunk))
	if err == nil && uint64(n) != args.Length {
		err = fmt.Errorf("read %d of %d bytes at %#x of %s", n, args.Length, args.Addr, path)
	}
	return err
}

func kcoreOffset(addr, length uint64) (int64, error) {
	f, err := elf.Open("/proc/kcore")
	if err != nil {
		return 0, err
	}
	defer f.Close()
	for _, p := range f.Progs {
		// fs/proc/kcore.c gives what has no physical address ~0.
		if p.Type == elf.PT_LOAD && p.Paddr != ^uint64(0) && addr >= p.Paddr &&
			addr-p.Paddr < p.Memsz && length <= p.Memsz-(addr-p.Paddr) {
			return int64(p.Off + addr - p.Paddr), nil
		}
	}
	return 0, fmt.Errorf("/proc/kcore has no segment with [%#x..%#x)", addr, addr+length)
}
