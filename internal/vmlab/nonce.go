package vmlab

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/gokexec/gokexec/internal/vmlab/wire"
	"github.com/gokexec/gokexec/pkg/memmap"
)

// Nonce is a random number that a guest holds in pages of its memory.
type Nonce struct {
	Value    []byte
	PageSize int
	Phys     []uint64 // physical address of page i
}

// Plant makes the guest fill pages, scattered over its memory, and hold them.
func (vm *VM) Plant(ctx context.Context, pages int) (*Nonce, error) {
	return vm.PlantBetween(ctx, pages, 0, 0)
}

// PlantBetween is Plant for physical addresses from low up to, not including,
// high (0 is no bound): for instance a DIMM's.
func (vm *VM) PlantBetween(ctx context.Context, pages int, low, high uint64) (*Nonce, error) {
	return vm.plant(ctx, wire.PlantArgs{Pages: pages, Min: low, Max: high})
}

// Plants are nonces in memory of each kind that a dump may leave out, and of one that it may not.
type Plants struct {
	User, Cache, Kernel, Freed *Nonce
	image                      memmap.Range // the kernel's
}

// plantTries is how often pages are planted again, because most got memory that the kernel image has
// freed while it booted.
const plantTries = 16

// PlantAll makes the guest fill pages of each kind. Those of the kernel are in a pipe; those that are
// freed it may have used again when a dump is made: see Intact. At least half of each kind are Outside.
func (vm *VM) PlantAll(ctx context.Context, pages int) (p Plants, err error) {
	text, err := vm.ReadFile(ctx, "/proc/iomem")
	if err != nil {
		return p, err
	}
	iomem, err := memmap.ParseIomem(bytes.NewReader(text))
	if err != nil {
		return p, err
	}
	if p.image = iomem.KernelImage(); p.image.Empty() {
		return p, errors.New("/proc/iomem has no kernel image")
	}
	for _, kind := range []struct {
		nonce **Nonce
		name  string
	}{{&p.Cache, wire.PlantCache}, {&p.Kernel, wire.PlantKernel}, {&p.User, ""}, {&p.Freed, wire.PlantFreed}} {
		for try := 1; ; try++ {
			if *kind.nonce, err = vm.plant(ctx, wire.PlantArgs{Pages: pages, Kind: kind.name}); err != nil {
				return p, err
			}
			if kind.name == wire.PlantKernel || len(p.Outside((*kind.nonce).Phys)) >= pages/2 {
				break
			}
			if try == plantTries {
				return p, fmt.Errorf("most of %d pages are in the kernel image at %v, %d times", pages, p.image, try)
			}
		}
	}
	return p, vm.find(p.Kernel, pages)
}

// Outside returns those of the addresses that are not in the kernel image. A dump has all of that,
// also what the kernel has freed and given to somebody.
func (p *Plants) Outside(addrs []uint64) []uint64 {
	return slices.DeleteFunc(slices.Clone(addrs), func(a uint64) bool { return memmap.PhysAddr(a) >= p.image.Start && memmap.PhysAddr(a) < p.image.End })
}

func (vm *VM) plant(ctx context.Context, args wire.PlantArgs) (*Nonce, error) {
	n := &Nonce{Value: make([]byte, wire.NonceSize)}
	if _, err := rand.Read(n.Value); err != nil {
		return nil, err
	}
	args.Nonce = n.Value
	var result wire.PlantResult
	err := vm.request(ctx, "plant a nonce", wire.OpPlant, args, &result)
	n.PageSize, n.Phys = result.PageSize, result.Phys
	return n, err
}

// find looks for all pages of a nonce in the guest's memory, from the host.
func (vm *VM) find(n *Nonce, pages int) error {
	n.Phys = make([]uint64, pages)
	page, want, found := make([]byte, n.PageSize), make([]byte, n.PageSize), 0
	err := vm.memory.scan(1<<20, func(b []byte, addr uint64) {
		for i := 0; i+n.PageSize <= len(b); i += n.PageSize {
			if page = b[i : i+n.PageSize]; !bytes.HasPrefix(page, n.Value) {
				continue
			}
			index := binary.LittleEndian.Uint64(page[wire.NonceSize:])
			if wire.FillNoncePage(want, n.Value, index); index < uint64(pages) && bytes.Equal(page, want) {
				n.Phys[index] = addr + uint64(i)
				found++
			}
		}
	})
	if err == nil && found != pages {
		err = fmt.Errorf("%d of %d pages of a nonce are in the guest's memory", found, pages)
	}
	return err
}

// Intact returns the addresses of the pages that still have the nonce in the guest's memory.
func (vm *VM) Intact(n *Nonce) []uint64 {
	var intact []uint64
	for i, addr := range n.Phys {
		got, want := make([]byte, n.PageSize), make([]byte, n.PageSize)
		wire.FillNoncePage(want, n.Value, uint64(i))
		if _, err := vm.memory.ReadAt(got, int64(addr)); err == nil && bytes.Equal(got, want) {
			intact = append(intact, addr)
		}
	}
	return intact
}

// PlantAt writes a nonce to pages at given physical addresses from the host,
// behind the guest's back: on x86 with a kernel since 5.13 for instance into the
// low 640 KiB, which the kernel reserves and leaves alone (kernel: reserve_real_mode),
// but for page 0 and its trampoline near the top.
func (vm *VM) PlantAt(addrs ...uint64) (*Nonce, error) {
	n := &Nonce{Value: make([]byte, wire.NonceSize), PageSize: 4096, Phys: addrs}
	if vm.Hello != nil {
		n.PageSize = vm.Hello.PageSize
	}
	if _, err := rand.Read(n.Value); err != nil {
		return nil, err
	}
	page := make([]byte, n.PageSize)
	for i, addr := range addrs {
		wire.FillNoncePage(page, n.Value, uint64(i))
		if _, err := vm.memory.WriteAt(page, int64(addr)); err != nil {
			return nil, fmt.Errorf("plant a page at %#x: %w", addr, err)
		}
	}
	return n, nil
}

// Check reads every page at its physical address and compares all of it.
func (n *Nonce) Check(read func(b []byte, phys uint64) error) error {
	got, want := make([]byte, n.PageSize), make([]byte, n.PageSize)
	for i, phys := range n.Phys {
		if err := read(got, phys); err != nil {
			return fmt.Errorf("nonce page %d of %d at %#x: %w", i, len(n.Phys), phys, err)
		}
		wire.FillNoncePage(want, n.Value, uint64(i))
		if at := firstDifference(got, want); at >= 0 {
			return fmt.Errorf("nonce page %d of %d at %#x: byte %#x is %#02x; want %#02x",
				i, len(n.Phys), phys, at, got[at], want[at])
		}
	}
	return nil
}

func firstDifference(a, b []byte) int {
	for i := range a {
		if a[i] != b[i] {
			return i
		}
	}
	return -1
}

// CountIn counts the different whole pages of the nonce that a file has at
// multiples of 4 KiB, which is what the PT_LOAD of a raw vmcore are aligned to whatever
// the page size is: independently of any reader of ELF. Holes of the file are skipped.
func (n *Nonce) CountIn(f *os.File) (int, error) {
	const grain = 4096
	found := map[uint64]bool{}
	page, want := make([]byte, n.PageSize), make([]byte, n.PageSize)
	for end := int64(0); ; {
		start, err := unix.Seek(int(f.Fd()), end, unix.SEEK_DATA)
		if errors.Is(err, unix.ENXIO) {
			return len(found), nil // only a hole is left
		}
		if err != nil {
			return len(found), os.NewSyscallError("lseek", err)
		}
		if end, err = unix.Seek(int(f.Fd()), start, unix.SEEK_HOLE); err != nil {
			return len(found), os.NewSyscallError("lseek", err)
		}
		start -= start % grain
		r := bufio.NewReaderSize(io.NewSectionReader(f, start, end-start), 1<<20)
		beginning := make([]byte, grain)
		for at := start; ; at += grain {
			_, err := io.ReadFull(r, beginning)
			if err == io.EOF || err == io.ErrUnexpectedEOF {
				break
			}
			if err == nil && !bytes.HasPrefix(beginning, n.Value) {
				continue
			}
			if err == nil {
				_, err = f.ReadAt(page, at)
			}
			if err == io.EOF {
				break
			}
			if err != nil {
				return len(found), err
			}
			index := binary.LittleEndian.Uint64(page[wire.NonceSize:])
			wire.FillNoncePage(want, n.Value, index)
			if index < uint64(len(n.Phys)) && bytes.Equal(page, want) {
				found[index] = true
			}
		}
	}
}
