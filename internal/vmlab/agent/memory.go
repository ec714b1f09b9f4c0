package main

import (
	"debug/elf"
	"encoding/binary"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"reflect"
	"sync"

	"github.com/gokexec/gokexec/internal/vmlab/wire"
	"golang.org/x/sys/unix"
)

// memory holds the planted pages: mapped, locked, and never touched again.
type memory struct {
	mu      sync.Mutex
	planted map[string][][]byte // by nonce
}

func (m *memory) plant(args wire.PlantArgs) (*wire.PlantResult, error) {
	if len(args.Nonce) != wire.NonceSize || args.Pages < 1 || args.Pages > 1<<14 {
		return nil, fmt.Errorf("a nonce of %d bytes on %d pages; want %d bytes, 1 to %d pages",
			len(args.Nonce), args.Pages, wire.NonceSize, 1<<14)
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
	m.mu.Lock()
	if m.planted == nil {
		m.planted = map[string][][]byte{}
	}
	m.planted[string(args.Nonce)] = pages
	m.mu.Unlock()
	return m.locate(wire.LocateArgs{Nonce: args.Nonce})
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
	var kept, rejected [][]byte
	defer func() {
		for _, page := range rejected {
			_ = unix.Munmap(page)
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
		pages, err := mapPages(int(batch), size)
		if err != nil {
			return nil, err
		}
		for _, i := range rand.Perm(len(pages)) {
			addr, err := physical(pagemap, pages[i])
			if err != nil {
				return nil, err
			}
			if len(kept) < args.Pages && addr >= args.Min && addr < args.Max {
				kept = append(kept, pages[i])
			} else {
				// Freed only at the end, or the next batch would get them again.
				rejected = append(rejected, pages[i])
			}
		}
	}
	return kept, nil
}

// mapPages maps n pages, each by itself so that it can be freed by itself, and
// touches them; none is part of a huge page.
func mapPages(n, size int) ([][]byte, error) {
	pages := make([][]byte, 0, n)
	for len(pages) < n {
		page, err := unix.Mmap(-1, 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
		if err != nil {
			return nil, fmt.Errorf("mmap of page %d of %d: %w", len(pages), n, err)
		}
		_ = unix.Madvise(page, unix.MADV_NOHUGEPAGE)
		page[0] = 1
		pages = append(pages, page)
	}
	return pages, nil
}

// physical returns where a page is, through /proc/self/pagemap
// (Documentation/admin-guide/mm/pagemap.rst: bits 0-54 are the frame number,
// bit 63 says present).
func physical(pagemap *os.File, page []byte) (uint64, error) {
	var b [8]byte
	at := uint64(reflect.ValueOf(page).Pointer()) / uint64(len(page)) * 8
	if _, err := pagemap.ReadAt(b[:], int64(at)); err != nil {
		return 0, err
	}
	entry := binary.NativeEndian.Uint64(b[:])
	if entry>>63 == 0 || entry&(1<<55-1) == 0 {
		return 0, fmt.Errorf("pagemap entry %#x: the page is not in memory", entry)
	}
	return entry & (1<<55 - 1) * uint64(len(page)), nil
}

func (m *memory) locate(args wire.LocateArgs) (*wire.PlantResult, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	pages, ok := m.planted[string(args.Nonce)]
	if !ok {
		return nil, fmt.Errorf("no such nonce is planted")
	}
	pagemap, err := os.Open("/proc/self/pagemap")
	if err != nil {
		return nil, err
	}
	defer pagemap.Close()
	result := &wire.PlantResult{PageSize: os.Getpagesize()}
	for _, page := range pages {
		addr, err := physical(pagemap, page)
		if err != nil {
			return nil, err
		}
		result.Phys = append(result.Phys, addr)
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
