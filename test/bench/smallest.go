package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/gokexec/gokexec/internal/vmlab"
	"github.com/gokexec/gokexec/pkg/bootimage"
	"github.com/gokexec/gokexec/pkg/capture"
)

// What captures save to.
const (
	targetRaw  = "raw"
	targetExt4 = "ext4"
)

// Bounds of the search for the smallest reservation, in steps of smallestStep MiB.
const (
	smallestStep = 8
	smallestFrom = 48
	smallestTo   = 256
	// What a kernel allocates differs from boot to boot: so many captures in turn must be saved, and leave so much.
	smallestTimes = 3
	smallestSpare = 6 << 20
)

// smallest finds the smallest crashkernel= with which a dump is saved each time, for each kind of target, and prints
// rows for the table in pkg/reservation.
func (b *bench) smallest(k *vmlab.Kernel) error {
	defer func(was string) { b.target = was }(b.target)
	for _, b.target = range b.targets {
		cfg, err := b.machine(k)
		if err != nil {
			return err
		}
		fails, works := smallestFrom/smallestStep-1, 0
		for next := 96 / smallestStep; works == 0 || works-fails > 1; next = (fails + works) / 2 {
			if works == 0 && fails >= 96/smallestStep {
				next = fails + 2
			}
			if next*smallestStep > smallestTo {
				break
			}
			ok, err := b.saves(cfg, next*smallestStep)
			if err != nil {
				return err
			}
			if ok {
				works = next
			} else {
				fails = next
			}
		}
		if works == 0 {
			fmt.Printf("  smallest crashkernel=, %s: over %dM\n", b.target, smallestTo)
			continue
		}
		size, err := imageMemory(k)
		if err != nil {
			return err
		}
		fmt.Printf("  {Release: %q, Arch: %q, Target: %q, Smallest: %d, Image: %d, Packed: %d, Unpacked: %d},\n", k.Release, k.Arch, b.target,
			works*smallestStep, size>>10, b.initrd.Size>>10, b.initrd.Unpacked>>10)
	}
	return nil
}

// saves tells whether dumps are saved, each time and with memory to spare, by a capture kernel with that many MiB.
func (b *bench) saves(cfg vmlab.Config, mib int) (bool, error) {
	cfg.CrashKernel = fmt.Sprintf("%dM", mib)
	for range smallestTimes {
		if b.target == targetExt4 { // without the dump of the last cycle
			if _, err := b.ext4(); err != nil {
				return false, err
			}
		}
		r, _, err := b.cycle(cfg)
		if errors.Is(err, errNoDump) || errors.Is(err, context.DeadlineExceeded) && b.ctx.Err() == nil {
			fmt.Printf("  %s, %dM: %v\n", b.target, mib, err)
			return false, nil
		}
		if err != nil {
			return false, err
		}
		fmt.Printf("  %s, %dM: saved; of %d MiB that the capture kernel had, at least %d MiB were available\n", b.target, mib, r.Memory.MemTotalBytes>>20, r.Memory.MinMemAvailableBytes>>20)
		if r.Memory.MinMemAvailableBytes < smallestSpare {
			return false, nil
		}
	}
	return true, nil
}

// imageMemory is what the kernel needs to start, in bytes.
func imageMemory(k *vmlab.Kernel) (uint64, error) {
	f, err := os.Open(k.Image)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	image, err := bootimage.Open(f, info.Size())
	if err != nil {
		return 0, err
	}
	return image.MemSize, nil
}

// ext4 makes a disk with such a filesystem.
func (b *bench) ext4() (string, error) {
	disk := filepath.Join(b.dir, "ext4.img")
	if err := os.WriteFile(disk, nil, 0o600); err != nil {
		return "", err
	}
	if err := os.Truncate(disk, 2<<30); err != nil {
		return "", err
	}
	if out, err := exec.CommandContext(b.ctx, "mke2fs", "-q", "-F", "-t", "ext4", disk).CombinedOutput(); err != nil {
		return "", fmt.Errorf("mke2fs: %w: %s", err, out)
	}
	return disk, nil
}

// readResultFile finds the newest dump in the root of an ext4: a line of "ls -p" is
// /INODE/MODE/UID/GID/NAME/SIZE/.
func (b *bench) readResultFile(disk, list string) (*capture.Result, error) {
	newest := ""
	for line := range strings.Lines(list) {
		if fields := strings.Split(line, "/"); len(fields) > 5 && strings.HasPrefix(fields[5], "20") {
			newest = max(newest, fields[5])
		}
	}
	text, err := exec.CommandContext(b.ctx, "debugfs", "-R", "cat /"+newest+"/"+capture.ResultName, disk).Output()
	if err != nil {
		return nil, err
	}
	var r capture.Result
	return &r, json.Unmarshal(text, &r)
}
