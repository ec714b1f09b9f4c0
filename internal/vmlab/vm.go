package vmlab

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/gokexec/gokexec/internal/vmlab/wire"
)

// End is how a virtual machine ended.
type End struct {
	// Reason is QEMU's (RunState, ShutdownCause): "guest-reset" after a reboot,
	// which ends the machine since it runs with -no-reboot; "guest-shutdown"
	// after a power-off; "" if QEMU was killed.
	Reason   string
	ExitCode int
	Error    string // what QEMU said, if it failed
	Duration time.Duration
	CPU      time.Duration // QEMU's
}

// Wait waits for the machine's end: a guest that reboots or powers off ends it.
func (vm *VM) Wait(ctx context.Context) (End, error) {
	select {
	case <-vm.ended:
		if vm.end.Error != "" {
			return vm.end, vm.explain("the machine's end", errors.New(vm.end.Error))
		}
		return vm.end, nil
	case <-ctx.Done():
		return End{}, vm.explain("wait for the machine's end", context.Cause(ctx))
	}
}

// Close kills the machine if it still runs, and removes its files if they are
// in a temporary directory.
func (vm *VM) Close() error {
	vm.closing.Do(func() { vm.closeError = vm.close() })
	return vm.closeError
}

func (vm *VM) close() error {
	var err error
	if vm.cmd != nil {
		select {
		case <-vm.ended:
		default:
			_ = vm.kill() // it may end by itself just now
			<-vm.ended
		}
		err = errors.Join(vm.channel.conn.Close(), vm.monitor.conn.Close())
	}
	if vm.memory != nil {
		err = errors.Join(err, vm.memory.file.Close())
	}
	if vm.ownDir && os.Getenv("GOKEXEC_VM_KEEP") == "" {
		err = errors.Join(err, os.RemoveAll(vm.dir))
	}
	return err
}

// Dir is the directory of the machine's files: console.log, disks, QEMU's command
// line (qemu.txt).
func (vm *VM) Dir() string { return vm.dir }

// Busy is how long the machine's CPUs have run on the host, whose other work it does not count: that of
// QEMU's threads that end meanwhile is not in it.
func (vm *VM) Busy() time.Duration {
	files, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", vm.cmd.Process.Pid))
	total := int64(0)
	for _, file := range files {
		text, _ := os.ReadFile(file) // a thread may have ended
		used, _, _ := strings.Cut(string(text), " ")
		n, _ := strconv.ParseInt(used, 10, 64)
		total += n
	}
	return time.Duration(total)
}

// Console is what the kernels have written to their console so far.
func (vm *VM) Console() string {
	text, err := os.ReadFile(filepath.Join(vm.dir, consoleName))
	if err != nil {
		return err.Error()
	}
	return string(bytes.ReplaceAll(text, []byte("\r"), nil))
}

// Disk is the host path of a disk.
func (vm *VM) Disk(i int) string { return vm.Config.Disks[i].file(vm.dir, i) }

// explain adds to an error what the guest's console said last.
func (vm *VM) explain(what string, err error) error {
	if err == nil {
		return nil
	}
	var guest *GuestError
	if errors.As(err, &guest) {
		return fmt.Errorf("%s: %w", what, err) // the guest is well
	}
	qemu, patience := "", time.Duration(0)
	if errors.Is(err, ErrEnded) || errors.Is(err, errMonitorClosed) {
		patience = 5 * time.Second // its process follows
	}
	select {
	case <-vm.ended:
		qemu = fmt.Sprintf(" (QEMU has ended: %+v)", vm.end)
	case <-time.After(patience):
	}
	return fmt.Errorf("%s: %w%s\n--- end of the console:\n%s\n---", what, err, qemu, tail(vm.Console(), 40))
}

// WaitHello waits until a kernel's agent introduces itself, for the first time
// since the last hello was waited for: after a kexec it is the second kernel's.
func (vm *VM) WaitHello(ctx context.Context) (*wire.Hello, error) {
	if _, bounded := ctx.Deadline(); !bounded {
		var cancel context.CancelFunc
		ctx, cancel = vm.step(ctx)
		defer cancel()
	}
	return vm.awaitHello(ctx)
}

func (vm *VM) awaitHello(ctx context.Context) (*wire.Hello, error) {
	const what = "wait for the guest's agent"
	select {
	case hello := <-vm.channel.hellos:
		return hello, nil
	case <-vm.channel.closed:
		select {
		case hello := <-vm.channel.hellos:
			return hello, nil
		default:
		}
		return nil, vm.explain(what, ErrEnded)
	case <-ctx.Done():
		return nil, vm.explain(what, context.Cause(ctx))
	}
}

// request sends one request and waits for its answer.
func (vm *VM) request(ctx context.Context, what string, op wire.Op, args, result any) error {
	ctx, cancel := vm.step(ctx)
	defer cancel()
	return vm.explain(what, vm.channel.call(ctx, op, args, result, nil))
}

// ReadFile reads a file of the guest.
func (vm *VM) ReadFile(ctx context.Context, path string) ([]byte, error) {
	ctx, cancel := vm.step(ctx)
	defer cancel()
	content, err := vm.channel.callData(ctx, wire.OpRead, wire.ReadArgs{Path: path})
	return content, vm.explain("read "+path, err)
}

// WriteFile writes a file of the guest, and makes the directories it is in. Large
// files come faster in Config.Files: see the package's documentation.
func (vm *VM) WriteFile(ctx context.Context, path string, content []byte, mode os.FileMode) error {
	for offset := 0; offset == 0 || offset < len(content); offset += wire.Chunk {
		piece := content[offset:min(offset+wire.Chunk, len(content))]
		err := vm.request(ctx, "write "+path, wire.OpWrite, wire.WriteArgs{
			Path: path, Data: piece, Offset: int64(offset), Mode: uint32(mode.Perm()), Create: offset == 0,
		}, nil)
		if err != nil {
			return err
		}
	}
	return nil
}

// Glob lists files of the guest.
func (vm *VM) Glob(ctx context.Context, pattern string) ([]string, error) {
	var result wire.GlobResult
	err := vm.request(ctx, "list "+pattern, wire.OpGlob, wire.GlobArgs{Pattern: pattern}, &result)
	return result.Names, err
}

// Crash panics the kernel, on a CPU or, with -1, on any. It returns when the
// guest is about to do so.
func (vm *VM) Crash(ctx context.Context, cpu int) error {
	return vm.request(ctx, "crash", wire.OpCrash, wire.CrashArgs{CPU: cpu}, nil)
}

// Reboot ends the kernel without asking anybody in the guest: by "reboot",
// "poweroff", "halt", or "kexec" into the image that is loaded. It returns when
// the guest is about to do so.
func (vm *VM) Reboot(ctx context.Context, mode string) error {
	return vm.request(ctx, mode, wire.OpReboot, wire.RebootArgs{Mode: mode}, nil)
}

// Command is a program to run in the guest.
type Command struct {
	Argv    []string // looked up in /bin, /sbin, /usr/bin, /usr/sbin
	Env     []string
	Dir     string
	Stdin   []byte
	Timeout time.Duration // after it the program is killed; by default Wait gives up after a step
	Stdout  io.Writer     // gets the output as it comes, in addition to Result
	Stderr  io.Writer
}

// Result is how a program ended, and what it wrote.
type Result struct {
	wire.RunResult
	Stdout, Stderr string
}

// Process is a program that runs in the guest.
type Process struct {
	vm             *VM
	id             uint64
	call           *call
	what           string
	timeout        time.Duration
	stdout, stderr bytes.Buffer
}

// forgottenTimeout is when a program ends that has no time of its own. The guest does
// not know how much of the time a busy host kept it from running.
const forgottenTimeout = time.Hour

// Start starts a program.
func (vm *VM) Start(ctx context.Context, command Command) (*Process, error) {
	p := &Process{vm: vm, what: fmt.Sprintf("run %q", command.Argv), timeout: command.Timeout}
	args := wire.RunArgs{Argv: command.Argv, Env: command.Env, Dir: command.Dir, Stdin: command.Stdin, Timeout: command.Timeout}
	if args.Timeout == 0 {
		args.Timeout = forgottenTimeout
	}
	if len(args.Stdin) > 4<<10 {
		args.StdinPath, args.Stdin = fmt.Sprintf("/run/lab/stdin-%d", time.Now().UnixNano()), nil
		if err := vm.WriteFile(ctx, args.StdinPath, command.Stdin, 0o600); err != nil {
			return nil, err
		}
	}
	ctx, cancel := vm.step(ctx)
	defer cancel()
	var err error
	p.id, p.call, err = vm.channel.start(ctx, wire.OpRun, args, map[string]io.Writer{
		"stdout": tee(&p.stdout, command.Stdout), "stderr": tee(&p.stderr, command.Stderr),
	})
	return p, vm.explain(p.what, err)
}

func tee(buffer, more io.Writer) io.Writer {
	if more == nil {
		return buffer
	}
	return io.MultiWriter(buffer, more)
}

// Wait waits until the program has ended. That it failed is no error; that it
// couldn't be started is.
func (p *Process) Wait(ctx context.Context) (Result, error) {
	ctx, cancel := p.vm.bound(ctx, p.timeout+stepTimeout())
	defer cancel()
	var result Result
	err := p.vm.channel.wait(ctx, p.id, p.call, &result.RunResult)
	if ctx.Err() != nil {
		// The buffers are the reader's while the call might still be served.
		return result, p.vm.explain(p.what, err)
	}
	result.Stdout, result.Stderr = p.stdout.String(), p.stderr.String()
	return result, p.vm.explain(p.what, err)
}

// Signal sends a signal to the program.
func (p *Process) Signal(ctx context.Context, signal syscall.Signal) error {
	return p.vm.request(ctx, "signal", wire.OpSignal, wire.SignalArgs{Target: p.id, Signal: int(signal)}, nil)
}

// Run runs a program to its end: Start and Wait.
func (vm *VM) Run(ctx context.Context, command Command) (Result, error) {
	p, err := vm.Start(ctx, command)
	if err != nil {
		return Result{}, err
	}
	return p.Wait(ctx)
}
