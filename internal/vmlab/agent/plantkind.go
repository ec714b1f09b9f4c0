package main

import (
	"encoding/hex"
	"fmt"
	"os"
	"unsafe"

	"github.com/gokexec/gokexec/internal/vmlab/wire"
	"golang.org/x/sys/unix"
)

// plantCache fills pages of a file, which is in memory here: they are page cache.
func plantCache(args wire.PlantArgs) (*wire.PlantResult, error) {
	size := os.Getpagesize()
	f, err := os.Create("/nonce-" + hex.EncodeToString(args.Nonce[:8]))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if err := f.Truncate(int64(args.Pages * size)); err != nil {
		return nil, err
	}
	mem, err := unix.Mmap(int(f.Fd()), 0, args.Pages*size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return nil, fmt.Errorf("mmap %s: %w", f.Name(), err)
	}
	var pages [][]byte
	for i := range args.Pages {
		pages = append(pages, mem[i*size:(i+1)*size:(i+1)*size])
		wire.FillNoncePage(pages[i], args.Nonce, uint64(i))
	}
	if err := unix.Mlock(mem); err != nil {
		return nil, fmt.Errorf("mlock: %w", err)
	}
	return locate(pages)
}

// plantPipe fills the buffers of a pipe: pages of the kernel, which have no owner. Where they are it can't tell.
func plantPipe(args wire.PlantArgs) (*wire.PlantResult, error) {
	size := os.Getpagesize()
	var fds [2]int
	if err := unix.Pipe2(fds[:], unix.O_NONBLOCK|unix.O_CLOEXEC); err != nil { // open until the end
		return nil, err
	}
	if _, err := unix.FcntlInt(uintptr(fds[1]), unix.F_SETPIPE_SZ, args.Pages*size); err != nil {
		return nil, fmt.Errorf("make a pipe of %d pages: %w", args.Pages, err)
	}
	scratch, err := newRegion(1, size)
	if err != nil {
		return nil, err
	}
	defer scratch.free()
	for i := range args.Pages {
		wire.FillNoncePage(scratch.mem, args.Nonce, uint64(i))
		if n, err := unix.Write(fds[1], scratch.mem); n < size {
			return nil, fmt.Errorf("page %d of a pipe: %d bytes, %w", i, n, err)
		}
	}
	clear(scratch.mem)
	return &wire.PlantResult{PageSize: size}, nil
}

// plantFreed fills pages and gives them back: the first of many, so that they get from the CPU's
// list of free pages to the allocator.
func plantFreed(args wire.PlantArgs) (*wire.PlantResult, error) {
	size := os.Getpagesize()
	var info unix.Sysinfo_t
	if err := unix.Sysinfo(&info); err != nil {
		return nil, fmt.Errorf("sysinfo: %w", err)
	}
	all := int(uint64(info.Freeram) * uint64(info.Unit) / uint64(size) / 4)
	if all < 2*args.Pages {
		return nil, fmt.Errorf("%d pages of free memory are too few to free %d", all, args.Pages)
	}
	r, err := newRegion(all, size)
	if err != nil {
		return nil, err
	}
	defer r.free()
	for i := range args.Pages {
		wire.FillNoncePage(r.mem[i*size:(i+1)*size], args.Nonce, uint64(i))
	}
	pagemap, err := os.Open("/proc/self/pagemap")
	if err != nil {
		return nil, err
	}
	defer pagemap.Close()
	addrs, err := physical(pagemap, unsafe.Slice(unsafe.SliceData(r.mem), args.Pages*size), size)
	return &wire.PlantResult{PageSize: size, Phys: addrs}, err
}
