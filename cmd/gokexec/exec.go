package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/spf13/pflag"
	"golang.org/x/sys/unix"

	"github.com/gokexec/gokexec/pkg/advice"
	"github.com/gokexec/gokexec/pkg/machine"
)

func execCommand() command {
	return command{
		name: "exec", acts: true,
		short: "reboot into the kernel loaded with load --boot",
		long: `Reboots into the loaded kernel. Under systemd the service manager is asked
(systemctl kexec), so that services stop and filesystems are unmounted. With --force,
or where no service manager is known, gokexec syncs and jumps at once.`,
		exits:   []exitCode{{exitNotLoaded, "nothing is loaded"}},
		orderly: true,
		setup: func(flags *pflag.FlagSet) func(context.Context, *env, []string) error {
			force := flags.BoolP("force", "f", false, "don't ask the service manager: sync and jump")
			return func(ctx context.Context, e *env, args []string) error {
				if err := noArgs(args); err != nil {
					return err
				}
				return e.exec(ctx, *force)
			}
		},
	}
}

func (e *env) exec(ctx context.Context, force bool) error {
	arch, err := machine.NativeArch()
	if err != nil {
		return err
	}
	host, err := e.host("", arch)
	if err != nil {
		return err
	}
	if host.BootLoaded != nil && !*host.BootLoaded {
		return &exitError{code: exitNotLoaded, err: &advice.Problem{What: "no kernel is loaded to reboot into", Hint: "gokexec load --boot KERNEL loads one"}}
	}
	if !force {
		if _, err := os.Stat(filepath.Join(e.sysroot, "run/systemd/system")); err == nil {
			return systemctlKexec(ctx)
		}
	}
	unix.Sync()
	if err := e.loader(arch, 0).Exec(); err != nil {
		hint := "see dmesg"
		if errors.Is(err, unix.EPERM) {
			hint = "run as root, outside of containers that drop CAP_SYS_BOOT"
		}
		return &advice.Problem{What: err.Error(), Hint: hint, Err: err}
	}
	return nil
}

func systemctlKexec(ctx context.Context) error {
	out, err := exec.CommandContext(ctx, "systemctl", "kexec").CombinedOutput()
	if err != nil {
		return &advice.Problem{What: fmt.Sprintf("systemctl kexec: %v: %s", err, oneLine(string(out))), Hint: "--force does without the service manager", Err: err}
	}
	return nil
}
