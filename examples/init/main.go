// Command init is a minimal init that loads a crash kernel and then starts the system's own init.
// A crash kernel that is loaded this early also captures panics of the services' start.
//
// Build it static, put it, a kernel and a capture initramfs (gokexec initramfs -o capture.img TARGET) into
// your system, and boot with crashkernel=256M init=/sbin/crashinit:
//
//	CGO_ENABLED=0 go build -o /sbin/crashinit ./examples/init
package main

import (
	"context"
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"github.com/gokexec/gokexec/pkg/loader"
	"github.com/gokexec/gokexec/pkg/machine"
	"github.com/gokexec/gokexec/pkg/plan"
)

func main() {
	for _, m := range [][2]string{{"proc", "/proc"}, {"sysfs", "/sys"}, {"tmpfs", "/run"}} {
		if err := unix.Mount(m[0], m[1], m[0], 0, ""); err != nil && err != unix.EBUSY {
			fmt.Fprintf(os.Stderr, "mount %s: %v\n", m[1], err)
		}
	}
	if err := loadCrashKernel("/boot/vmlinuz", "/boot/capture.img"); err != nil {
		fmt.Fprintln(os.Stderr, "no crash kernel:", err) // the error says what to do; the boot goes on
	}
	err := unix.Exec("/sbin/init", []string{"/sbin/init"}, os.Environ())
	fmt.Fprintln(os.Stderr, "/sbin/init:", err)
}

// loadCrashKernel plans, checks, loads and verifies, as gokexec load --crash --reuse-cmdline does.
func loadCrashKernel(kernelPath, initrdPath string) error {
	l, err := loader.System()
	if err != nil {
		return err
	}
	_, err = l.Load(context.Background(), &plan.Spec{
		Kind: machine.Crash, Kernel: plan.FromFile(kernelPath), Initrd: plan.FromFile(initrdPath), ReuseCmdline: true,
	})
	return err
}
