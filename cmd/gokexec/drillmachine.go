package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"github.com/gokexec/gokexec/pkg/memmap"
)

// drillMachine is what a drill does to the machine.
type drillMachine interface {
	// Durable returns an error if what is in a directory, or would be, is lost with the memory.
	Durable(dir string) error
	// Plant fills pages of the kernel's memory with copies of a text, and tells where they are. They stay so as long
	// as this process lives.
	Plant(text string) ([]memmap.PhysAddr, error)
	// Warn tells the users that are logged in.
	Warn(ctx context.Context, text string)
	// Sync writes everything back, as sync(2).
	Sync()
	// Crash panics the kernel; it returns only an error.
	Crash() error
}

// drillPages is how many pages are planted.
const drillPages = 8

// sysrqTrigger takes commands for the kernel, whatever kernel.sysrq is: that is for the keyboard
// (Documentation/admin-guide/sysrq.rst).
const sysrqTrigger = "/proc/sysrq-trigger"

type systemDrill struct{}

func (systemDrill) Sync() { unix.Sync() }

func (systemDrill) Durable(dir string) error {
	var st unix.Statfs_t
	err := unix.Statfs(dir, &st)
	for errors.Is(err, unix.ENOENT) && dir != "/" { // it is made later
		dir = filepath.Dir(dir)
		err = unix.Statfs(dir, &st)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", dir, err)
	}
	if slices.Contains([]int64{unix.TMPFS_MAGIC, unix.RAMFS_MAGIC}, int64(st.Type)) {
		return fmt.Errorf("%s is in memory, which a crash loses", dir)
	}
	return nil
}

// Plant takes the pages of a packet socket's ring (packet(7)) that is bound to nothing and receives nothing. They are
// the kernel's, so that no dump level leaves them out, unlike those of a process, locked or not; a process may map
// them, so that /proc/self/pagemap tells where they are; and the kernel does not move them.
func (systemDrill) Plant(text string) ([]memmap.PhysAddr, error) {
	size := os.Getpagesize()
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("packet socket: %w", err)
	}
	ring := unix.TpacketReq{Block_size: uint32(size), Block_nr: drillPages, Frame_size: 2048, Frame_nr: drillPages * uint32(size) / 2048}
	if err := unix.SetsockoptTpacketReq(fd, unix.SOL_PACKET, unix.PACKET_RX_RING, &ring); err != nil {
		return nil, fmt.Errorf("ring of a packet socket: %w", err)
	}
	mem, err := unix.Mmap(fd, 0, drillPages*size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return nil, fmt.Errorf("map the ring of a packet socket: %w", err)
	}
	for i := 0; i < len(mem); i += size {
		copy(mem[i:i+size], tokenPage(text, size))
	}
	return physicalPages(reflect.ValueOf(mem).Pointer(), drillPages)
}

// physicalPages tells where pages of this process are (Documentation/admin-guide/mm/pagemap.rst).
func physicalPages(addr uintptr, count int) ([]memmap.PhysAddr, error) {
	f, err := os.Open("/proc/self/pagemap")
	if err != nil {
		return nil, err
	}
	defer f.Close()
	size := uint64(os.Getpagesize())
	b := make([]byte, 8*count)
	if _, err := f.ReadAt(b, int64(uint64(addr)/size*8)); err != nil {
		return nil, err
	}
	var pages []memmap.PhysAddr
	for i := range count {
		const present, frame = 1 << 63, 1<<55 - 1
		entry := binary.NativeEndian.Uint64(b[8*i:])
		if entry&present == 0 || entry&frame == 0 {
			return nil, errors.New("/proc/self/pagemap does not tell where a page is")
		}
		pages = append(pages, memmap.PhysAddr(entry&frame*size))
	}
	return pages, nil
}

// tokenPage is a page full of copies of a text.
func tokenPage(text string, size int) []byte {
	page := make([]byte, 0, size+len(text))
	for len(page) < size {
		page = append(page, text...)
	}
	return page[:size]
}

// Warn calls wall(1), if it is there.
func (systemDrill) Warn(ctx context.Context, text string) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	_ = exec.CommandContext(ctx, "wall", text).Run()
}

func (systemDrill) Crash() error {
	if err := os.WriteFile(sysrqTrigger, []byte("c"), 0); err != nil {
		return err
	}
	// The write does not return.
	return errors.New("the kernel has not crashed")
}
