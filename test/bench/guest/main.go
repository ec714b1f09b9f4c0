// Command guest runs in the benchmark's virtual machine.
//
//	guest unarmed COMMAND...      runs COMMAND and looks at kexec_crash_loaded all the time
//	guest load PAGES KERNEL INITRD CMDLINE   loads by kexec_load as gokexec does, and does the same
//	guest digest FILE...          computes what the purgatory verifies
//	guest anonymous COMMAND...    runs COMMAND and looks at its memory all the time
//	guest wait                    holds the pending lock, as the process of a hotplug event, until it is killed
//
// It prints nanoseconds: of the longest time without a crash kernel, or of the digest; or the most bytes of
// anonymous memory, which leaves out the pages of files that are mapped, such as the program's. PAGES is by
// how many pages source and destination of a copy differ, modulo 2 MiB. An emulator's TLB has
// one entry for both if it is 0, and each page that is copied then costs it two misses.
package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/gokexec/gokexec/internal/kexecsys"
	"github.com/gokexec/gokexec/internal/purgatory"
	"github.com/gokexec/gokexec/pkg/kexec"
	"github.com/gokexec/gokexec/pkg/loader"
	"github.com/gokexec/gokexec/pkg/machine"
	"github.com/gokexec/gokexec/pkg/plan"
	"github.com/gokexec/gokexec/pkg/statedir"
)

func main() {
	n, err := run(os.Args[1:])
	if err != nil {
		fmt.Fprintln(os.Stderr, "guest:", err)
		os.Exit(1)
	}
	fmt.Println(n)
}

func run(args []string) (int64, error) {
	switch {
	case len(args) > 1 && args[0] == "unarmed":
		cmd := exec.Command(args[1], args[2:]...)
		cmd.Stderr = os.Stderr
		longest, err := unarmed(cmd.Run)
		return longest.Nanoseconds(), err
	case len(args) == 5 && args[0] == "load":
		pages, err := strconv.Atoi(args[1])
		if err != nil {
			return 0, err
		}
		longest, err := unarmed(func() error { return load(pages, args[2], args[3], args[4]) })
		return longest.Nanoseconds(), err
	case len(args) > 1 && args[0] == "digest":
		took, err := digest(args[1:])
		return took.Nanoseconds(), err
	case len(args) > 1 && args[0] == "anonymous":
		return anonymous(exec.Command(args[1], args[2:]...))
	case len(args) == 1 && args[0] == "wait":
		pending, err := statedir.Dir(statedir.Default).TryPending()
		if pending == nil {
			return 0, fmt.Errorf("the pending lock is held: %w", err)
		}
		if err := pending.Cover(); err != nil {
			return 0, err
		}
		time.Sleep(time.Hour)
		return 0, pending.Release()
	}
	return 0, fmt.Errorf("bad arguments: %q", args)
}

// unarmed returns the longest time without a crash kernel while do runs.
func unarmed(do func() error) (longest time.Duration, err error) {
	f, err := os.Open("/sys/kernel/kexec_crash_loaded")
	if err != nil {
		return 0, err
	}
	defer f.Close()
	done := make(chan error, 1)
	go func() { done <- do() }()
	armed := time.Now()
	var b [1]byte
	for {
		if _, err := f.ReadAt(b[:], 0); err != nil {
			return 0, err
		}
		now := time.Now()
		if b[0] == '1' {
			armed = now
		} else if gap := now.Sub(armed); gap > longest {
			longest = gap
		}
		select {
		case err := <-done:
			return longest, err
		default:
			time.Sleep(100 * time.Microsecond)
		}
	}
}

// anonymous returns the most that cmd takes (proc_pid_status(5), RssAnon).
func anonymous(cmd *exec.Cmd) (most int64, err error) {
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		return 0, err
	}
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	for {
		status, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", cmd.Process.Pid)) // it may be gone
		for line := range strings.Lines(string(status)) {
			var kib int64
			if n, _ := fmt.Sscanf(line, "RssAnon: %d kB", &kib); n == 1 {
				most = max(most, kib<<10)
			}
		}
		select {
		case err := <-done:
			return most, err
		case <-time.After(time.Millisecond):
		}
	}
}

func load(pages int, kernelPath, initrdPath, cmdline string) error {
	l, err := loader.System()
	if err != nil {
		return err
	}
	l.Kernel = shifted{pages: pages}
	_, err = l.Load(context.Background(), &plan.Spec{
		Kind: machine.Crash, Method: plan.Segments, Kernel: plan.FromFile(kernelPath), Initrd: plan.FromFile(initrdPath), Cmdline: cmdline,
	})
	return err
}

// shifted is the running kernel. It is given the segments at chosen addresses.
type shifted struct {
	kexecsys.Kernel
	pages int
}

func (k shifted) KexecLoad(entry uint64, segments []kexec.Segment, flags kexec.LoadFlags) error {
	const large = 2 << 20
	for i := range segments {
		s := &segments[i]
		b, err := unix.Mmap(-1, 0, len(s.Data)+2*large, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
		if err != nil {
			return err
		}
		at := uint64(uintptr(unsafe.Pointer(unsafe.SliceData(b))))
		want := s.Phys + uint64(k.pages*os.Getpagesize())
		skip := (want - at) % large
		copy(b[skip:], s.Data)
		s.Data = b[skip:][:len(s.Data)]
	}
	return k.Kernel.KexecLoad(entry, segments, flags)
}

func digest(files []string) (time.Duration, error) {
	var segments []purgatory.Segment
	for _, name := range files {
		b, err := os.ReadFile(name)
		if err != nil {
			return 0, err
		}
		segments = append(segments, purgatory.Segment{Data: b, MemSize: uint64(len(b))})
	}
	began := time.Now()
	_, err := purgatory.Digest(segments)
	return time.Since(began), err
}
