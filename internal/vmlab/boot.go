package vmlab

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/gokexec/gokexec/internal/vmlab/wire"
	"golang.org/x/sys/unix"
)

// stepTimeout bounds one step (a boot, a command) unless its caller's context
// does so earlier: 90 s, or what GOKEXEC_VM_TIMEOUT says ("3m").
func stepTimeout() time.Duration {
	if d, err := time.ParseDuration(os.Getenv("GOKEXEC_VM_TIMEOUT")); err == nil && d > 0 {
		return d
	}
	return 90 * time.Second
}

// VM is a virtual machine that has been started.
type VM struct {
	Config Config      // with the defaults filled in
	Hello  *wire.Hello // of the first kernel; nil if Config.Init replaced the agent
	Booted time.Duration
	Failed []error // starts that did not come up before this one did

	dir     string
	ownDir  bool
	cmd     *exec.Cmd
	stderr  bytes.Buffer
	began   time.Time
	channel *channel
	monitor *monitor
	memory  *PhysicalMemory

	ended chan struct{} // closed when QEMU has ended; then end is set
	end   End

	closing    sync.Once
	closeError error
}

// launchTries is how often a machine is started that does not come up. Until its
// agent answers nothing under test has run: what fails there is QEMU's emulation
// or the firmware, and must not decide a test.
const launchTries = 3

// Launch starts a virtual machine and waits until its agent answers; one that
// does not come up is started again, at most twice (VM.Failed). Cancelling ctx
// kills it, at any time. Close must be called. It first waits until fewer machines run than
// there are CPUs.
func Launch(ctx context.Context, cfg Config) (*VM, error) {
	cfg.Disks = append([]Disk(nil), cfg.Disks...)
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	c, err := openCache()
	if err != nil {
		return nil, err
	}
	freeSlot, err := c.slot(ctx, slotCount(), slotPatience)
	if err != nil {
		return nil, err
	}
	var failed []error
	for {
		vm, err := launchOnce(ctx, cfg)
		if err == nil {
			vm.Failed = failed
			go func() {
				<-vm.ended
				freeSlot() // before Close: the test may boot again
			}()
			return vm, nil
		}
		failed = append(failed, err)
		if len(failed) == launchTries || ctx.Err() != nil || !errors.Is(err, errNotUp) {
			freeSlot()
			return nil, errors.Join(failed...)
		}
	}
}

// errNotUp is wrapped when QEMU ran and the guest did not come up.
var errNotUp = errors.New("the guest did not come up")

func launchOnce(ctx context.Context, cfg Config) (*VM, error) {
	vm := &VM{Config: cfg, dir: cfg.Dir, ended: make(chan struct{})}
	if vm.dir == "" {
		var err error
		if vm.dir, err = os.MkdirTemp("", "gokexec-vm-"); err != nil {
			return nil, err
		}
		vm.ownDir = true
	}
	if err := vm.launch(ctx); err != nil {
		vm.Close()
		return nil, err
	}
	return vm, nil
}

func (vm *VM) launch(ctx context.Context) error {
	cfg := &vm.Config
	spec := machineSpecs[cfg.Kernel.Arch]
	qemu, major, err := spec.program(ctx)
	if err != nil {
		return err
	}
	if err := vm.writeInitramfs(ctx); err != nil {
		return err
	}
	if err := vm.makeDisks(); err != nil {
		return err
	}
	firmware, err := vm.firmwareArgs(ctx)
	if err != nil {
		return err
	}
	tree, err := vm.deviceTreeArgs(ctx, qemu, major)
	if err != nil {
		return err
	}
	if err := vm.start(ctx, qemu, cfg.qemuArgs(vm.dir, append(firmware, tree...), major)); err != nil {
		return err
	}
	bootCtx, cancel := vm.bound(ctx, vm.patience())
	defer cancel()
	if _, err := vm.monitor.execute(bootCtx, "qmp_capabilities", nil); err != nil {
		return vm.explain("start QEMU", err)
	}
	if vm.memory, err = openPhysicalMemory(vm.cmd.Process.Pid, cfg); err != nil {
		return vm.explain("find the guest's memory", err)
	}
	if cfg.Init != "" {
		return nil
	}
	if vm.Hello, err = vm.awaitHello(bootCtx); err != nil {
		return fmt.Errorf("boot %s: %w: %w", cfg.Kernel.Name, errNotUp, err)
	}
	vm.Booted = time.Since(vm.began)
	return nil
}

// writeInitramfs writes the guest's initramfs, or the disk that brings the same to a system that starts by itself.
func (vm *VM) writeInitramfs(ctx context.Context) error {
	cfg := &vm.Config
	var files []File
	if cfg.BootDisk {
		agent, err := Build(ctx, agentPackage, cfg.Kernel.Arch)
		if err != nil {
			return err
		}
		files = []File{Executable("/var/lib/vmlab/agent", agent)}
	} else {
		var err error
		if files, err = AgentFiles(ctx, cfg.Kernel, cfg.neededModules()...); err != nil {
			return err
		}
	}
	f, err := os.Create(filepath.Join(vm.dir, initramfsName))
	if err != nil {
		return err
	}
	for _, file := range cfg.Files {
		if cfg.Root != "" {
			file.Path = path.Join("/lab/root", file.Path)
		}
		files = append(files, file)
	}
	return errors.Join(WriteInitramfs(f, files), f.Close())
}

// AgentFiles are the agent as /init and the kernel modules it is to load: the
// beginning of every guest's initramfs, and of that of the second kernel of a
// kexec.
func AgentFiles(ctx context.Context, k *Kernel, modules ...string) ([]File, error) {
	agent, err := Build(ctx, agentPackage, k.Arch)
	if err != nil {
		return nil, err
	}
	files := []File{Executable("/init", agent)}
	if k.ModulesRoot == "" {
		return files, nil // a kernel of one's own has built in what it needs
	}
	more, err := k.ModuleFiles(modules...)
	return append(files, more...), err
}

func (vm *VM) makeDisks() error {
	for i, d := range vm.Config.Disks {
		if d.Source != "" {
			continue
		}
		f, err := os.Create(d.file(vm.dir, i))
		if err != nil {
			return err
		}
		if err := errors.Join(f.Truncate(d.Size), f.Close()); err != nil {
			return err
		}
	}
	return nil
}

// firmwareArgs are those for Config.Firmware, which comes from its package.
func (vm *VM) firmwareArgs(ctx context.Context) ([]string, error) {
	switch {
	case vm.Config.Firmware == "":
		return nil, nil
	case vm.Config.Firmware == "opensbi" && vm.Config.Kernel.Arch == "riscv64":
		p, err := GetPackage(ctx, "trixie", "opensbi", "amd64") // for all architectures
		if err != nil {
			return nil, err
		}
		return []string{"-bios", p.Path("usr/lib/riscv64-linux-gnu/opensbi/generic/fw_dynamic.bin")}, nil
	case vm.Config.Firmware == "uefi" && vm.Config.Kernel.Arch == "loong64":
		p, err := GetPackage(ctx, "trixie", "qemu-efi-loongarch64", "amd64") // for all architectures
		if err != nil {
			return nil, err
		}
		return []string{"-bios", p.Path("usr/share/qemu-efi-loongarch64/QEMU_EFI.fd")}, nil
	case vm.Config.Firmware != "uefi":
		return nil, fmt.Errorf("no firmware %q for %s", vm.Config.Firmware, vm.Config.Kernel.Arch)
	}
	f, ok := map[string]struct{ pkg, code, vars string }{
		"amd64": {"ovmf", "usr/share/OVMF/OVMF_CODE_4M.fd", "usr/share/OVMF/OVMF_VARS_4M.fd"},
		"arm64": {"qemu-efi-aarch64", "usr/share/AAVMF/AAVMF_CODE.fd", "usr/share/AAVMF/AAVMF_VARS.fd"},
	}[vm.Config.Kernel.Arch]
	if !ok {
		return nil, fmt.Errorf("no UEFI for %s", vm.Config.Kernel.Arch)
	}
	p, err := GetPackage(ctx, "bookworm", f.pkg, "amd64") // for all architectures
	if err != nil {
		return nil, err
	}
	vars, err := os.ReadFile(p.Path(f.vars))
	if err != nil {
		return nil, err
	}
	file := filepath.Join(vm.dir, "ovmf-vars.fd")
	if err := os.WriteFile(file, vars, 0o644); err != nil {
		return nil, err
	}
	return []string{
		"-drive", "if=pflash,format=raw,readonly=on,file=" + escape(p.Path(f.code)),
		"-drive", "if=pflash,format=raw,file=" + escape(file),
	}, nil
}

// start starts QEMU with its ends of the channel and the monitor.
func (vm *VM) start(ctx context.Context, qemu, args []string) error {
	channelHost, channelGuest, err := socketPair("channel")
	if err != nil {
		return err
	}
	defer channelGuest.Close()
	monitorHost, monitorGuest, err := socketPair("monitor")
	if err != nil {
		channelHost.Close()
		return err
	}
	defer monitorGuest.Close()
	argv := slices.Concat(qemu, args)
	command := strings.Join(argv, "\n\t")
	if err := os.WriteFile(filepath.Join(vm.dir, "qemu.txt"), []byte(command+"\n"), 0o644); err != nil {
		return err
	}
	vm.cmd = exec.CommandContext(ctx, argv[0], argv[1:]...)
	vm.cmd.ExtraFiles = []*os.File{channelGuest, monitorGuest} // channelFD, monitorFD
	vm.cmd.Stdout, vm.cmd.Stderr = &vm.stderr, &vm.stderr
	// It must not outlive a test process that is killed.
	vm.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	vm.cmd.Cancel = vm.kill
	vm.cmd.WaitDelay = 5 * time.Second
	vm.began = time.Now()
	if err := vm.cmd.Start(); err != nil {
		vm.cmd = nil
		return errors.Join(err, channelHost.Close(), monitorHost.Close())
	}
	vm.channel = newChannel(channelHost)
	vm.monitor = newMonitor(monitorHost)
	go vm.watch()
	return nil
}

func (vm *VM) kill() error { return syscall.Kill(-vm.cmd.Process.Pid, syscall.SIGKILL) }

// watch waits for QEMU's end.
func (vm *VM) watch() {
	err := vm.cmd.Wait()
	state := vm.cmd.ProcessState
	vm.end = End{ExitCode: state.ExitCode(), Duration: time.Since(vm.began), CPU: state.UserTime() + state.SystemTime()}
	if err != nil {
		vm.end.Error = strings.TrimSpace(err.Error() + ": " + tail(vm.stderr.String(), 5))
	}
	// What QEMU said last is still in the sockets.
	<-vm.channel.closed
	<-vm.monitor.ended
	vm.end.Reason = vm.monitor.shutdownReason()
	close(vm.ended)
}

// socketPair returns a connected pair: a pollable end and one to inherit.
func socketPair(name string) (io.ReadWriteCloser, *os.File, error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, os.NewSyscallError("socketpair", err)
	}
	if err := unix.SetNonblock(fds[0], true); err != nil {
		return nil, nil, os.NewSyscallError("fcntl", err)
	}
	return os.NewFile(uintptr(fds[0]), name), os.NewFile(uintptr(fds[1]), name+"-"+strconv.Itoa(fds[1])), nil
}
