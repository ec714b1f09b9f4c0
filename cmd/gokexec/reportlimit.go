package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"runtime/debug"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/gokexec/gokexec/internal/sysfs"
)

const (
	// reportHeap is what the Go runtime keeps the memory of a report's child to, in bytes, by collecting earlier.
	reportHeap = 6 << 20
	// reportGrowth is how much more private memory than at its start the kernel gives it, in bytes. Go takes 4 MiB at a
	// time.
	reportGrowth = 16 << 20
)

// boundReport bounds the memory of this process, which makes the report in a capture kernel: there is little, and the
// dump comes first. Only a process of its own may be bounded so: beyond the limit it ends.
func boundReport() error {
	debug.SetMemoryLimit(reportHeap)
	debug.SetGCPercent(25)
	// Most of it Go has only set aside.
	size, err := privateMemory(os.DirFS("/"))
	if err != nil {
		return err
	}
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_DATA, &limit); err != nil {
		return fmt.Errorf("getrlimit(RLIMIT_DATA): %w", err)
	}
	limit.Cur = min(limit.Cur, size+reportGrowth)
	if err := unix.Setrlimit(unix.RLIMIT_DATA, &limit); err != nil {
		return fmt.Errorf("setrlimit(RLIMIT_DATA, %d): %w", limit.Cur, err)
	}
	return nil
}

// privateMemory is what RLIMIT_DATA counts of this process, in bytes: the line VmData of proc_pid_status(5).
func privateMemory(root fs.FS) (uint64, error) {
	const name = "proc/self/status"
	text, err := sysfs.ReadString(root, name)
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(text) {
		if value, ok := strings.CutPrefix(line, "VmData:"); ok {
			kib, err := strconv.ParseUint(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(value), "kB")), 10, 50)
			if err != nil {
				return 0, fmt.Errorf("/%s: VmData: %w", name, err)
			}
			return kib << 10, nil
		}
	}
	return 0, errors.New("/" + name + ": no VmData")
}
