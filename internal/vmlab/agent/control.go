package main

import (
	"fmt"
	"os"
	"runtime"

	"golang.org/x/sys/unix"
)

// crash panics the kernel (drivers/tty/sysrq.c, sysrq_handle_crash).
func crash(cpu int) error {
	if cpu >= 0 {
		runtime.LockOSThread()
		var set unix.CPUSet
		set.Set(cpu)
		if err := unix.SchedSetaffinity(0, &set); err != nil {
			return fmt.Errorf("move to CPU %d: %w", cpu, err)
		}
	}
	return os.WriteFile("/proc/sysrq-trigger", []byte("c"), 0)
}

func reboot(mode string) (func() error, error) {
	commands := map[string]uint32{
		"reboot":   unix.LINUX_REBOOT_CMD_RESTART,
		"poweroff": unix.LINUX_REBOOT_CMD_POWER_OFF,
		"halt":     unix.LINUX_REBOOT_CMD_HALT,
		"kexec":    unix.LINUX_REBOOT_CMD_KEXEC,
	}
	command, ok := commands[mode]
	if !ok {
		return nil, fmt.Errorf("unknown way to end a kernel: %q", mode)
	}
	return func() error {
		unix.Sync()
		return unix.Reboot(int(command))
	}, nil
}
