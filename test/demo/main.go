// Command demo shows gokexec from end to end in a virtual machine: on a real Debian
// kernel, gokexec loads a crash kernel, the kernel panics, the capture kernel saves the
// memory, and the host compares the dump with the memory before the panic.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/gokexec/gokexec/internal/vmlab"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, unix.SIGTERM)
	err := run(ctx)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	d := &demo{ctx: ctx, start: time.Now()}
	if missing := vmlab.Prerequisites("amd64"); len(missing) > 0 {
		for _, m := range missing {
			fmt.Fprintln(os.Stderr, "demo: missing:", m)
		}
		return errors.New("install the missing programs: " + vmlab.InstallHint(missing))
	}
	var err error
	if d.dir, err = os.MkdirTemp("", "gokexec-demo-"); err != nil {
		return err
	}
	defer os.RemoveAll(d.dir)
	for _, stage := range []func() error{d.prepare, d.boot, d.load, d.crash, d.compare} {
		if err := stage(); err != nil {
			if d.vm != nil {
				fmt.Fprintf(os.Stderr, "the end of the console:\n%s\n", lastLines(d.vm.Console(), 30))
			}
			return errors.Join(err, d.close())
		}
	}
	return d.close()
}

type demo struct {
	ctx    context.Context
	dir    string
	start  time.Time
	kernel *vmlab.Kernel
	binary string
	vm     *vmlab.VM
	before observed
}

// say prints a line with the seconds since the demo began.
func (d *demo) say(format string, args ...any) {
	fmt.Printf("[%5.1fs] %s\n", time.Since(d.start).Seconds(), fmt.Sprintf(format, args...))
}

func (d *demo) close() error {
	if d.vm == nil {
		return nil
	}
	return d.vm.Close()
}

func (d *demo) prepare() error {
	name := "trixie-cloud"
	if os.Getenv("GOKEXEC_VM_KERNEL") != "" {
		name = "custom"
	}
	d.say("fetching the kernel (Debian's newest 6.12, cloud flavour; downloaded once)")
	var err error
	if d.kernel, err = vmlab.GetKernel(d.ctx, name); err != nil {
		return err
	}
	d.say("kernel %s; building gokexec", d.kernel.Release)
	if d.binary, err = vmlab.Build(d.ctx, "./cmd/gokexec", d.kernel.Arch); err != nil {
		return err
	}
	return nil
}

func (d *demo) boot() error {
	d.say("booting it in QEMU: 512 MiB of RAM, crashkernel=128M, an NVMe disk for the dump")
	modules, err := d.kernel.ModuleTree("nvme")
	if err != nil {
		return err
	}
	d.vm, err = vmlab.Launch(d.ctx, vmlab.Config{
		Kernel: d.kernel, Memory: 512, CrashKernel: "128M", Disks: []vmlab.Disk{{}},
		Files: append(modules,
			vmlab.Executable("/bin/gokexec", d.binary),
			vmlab.File{Path: "/boot/vmlinuz-" + d.kernel.Release, Source: d.kernel.Image},
			vmlab.File{Path: "/boot/config-" + d.kernel.Release, Source: filepath.Join(d.kernel.ModulesRoot, "boot/config-"+d.kernel.Release)},
			vmlab.File{Path: "/etc/gokexec.conf", Data: []byte(configuration)},
		)})
	return err
}

// guest runs a command in the machine and shows it as a session would.
func (d *demo) guest(argv ...string) error {
	r, err := d.vm.Run(d.ctx, vmlab.Command{Argv: argv})
	if err != nil {
		return err
	}
	d.say("# %s", strings.Join(argv, " "))
	indent(r.Stdout + r.Stderr)
	if argv[1] != "status" && r.Code != 0 {
		return fmt.Errorf("%s: exit code %d", argv[0], r.Code)
	}
	return nil
}

// configuration is the machine's gokexec.conf.
// An emulated CPU of a busy host may take longer for the report than the 10 seconds of the default.
const configuration = "[Kernel]\nAppend=console=ttyS0\n\n[Capture]\nTarget=raw:/dev/nvme0n1\nReportTimeout=600\n"

func (d *demo) load() error {
	for _, argv := range [][]string{
		{"gokexec", "config"},
		{"gokexec", "arm"},
		{"gokexec", "status"},
	} {
		if err := d.guest(argv...); err != nil {
			return err
		}
	}
	return d.observe()
}

// crash panics the machine and shows the capture kernel's progress.
func (d *demo) crash() error {
	d.say("# echo c > /proc/sysrq-trigger")
	seen := len(d.vm.Console())
	if err := d.vm.Crash(d.ctx, -1); err != nil {
		return err
	}
	ended := make(chan error, 1)
	go func() {
		end, err := d.vm.Wait(d.ctx)
		if err == nil && end.Reason != "guest-reset" {
			err = fmt.Errorf("the virtual machine ended with %q; want the reboot after the capture", end.Reason)
		}
		ended <- err
	}()
	timeout := time.After(3 * time.Minute)
	for {
		select {
		case err := <-ended:
			d.showProgress(&seen)
			return err
		case <-timeout:
			return errors.New("the capture did not end within 3 minutes")
		case <-time.After(200 * time.Millisecond):
			d.showProgress(&seen)
		}
	}
}

// showProgress prints complete console lines about the panic and from gokexec.
func (d *demo) showProgress(seen *int) {
	text := d.vm.Console()[*seen:]
	end := strings.LastIndexByte(text, '\n') + 1
	*seen += end
	for line := range strings.Lines(text[:end]) {
		line = strings.TrimSpace(line)
		for _, mark := range []string{"Kernel panic", "Linux version", "gokexec:", "vmcore ", "filter "} {
			if strings.Contains(line, mark) {
				d.say("  console: %.110s", line)
				break
			}
		}
	}
}

func indent(text string) {
	for line := range strings.Lines(text) {
		fmt.Print("           ", line)
	}
}

func lastLines(s string, n int) string {
	lines := strings.Split(s, "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}
