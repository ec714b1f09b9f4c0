// Command bench measures gokexec in virtual machines and compares it with kexec-tools
// in the same one: time and peak memory of processes, the time from the panic to the
// saved dump, and the smallest crashkernel= with which a dump is saved. Under emulation
// only the ratios are meaningful.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/gokexec/gokexec/internal/vmlab"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, unix.SIGTERM)
	b := &bench{ctx: ctx}
	flag.IntVar(&b.rounds, "rounds", 7, "how often each process is run")
	smallest := flag.Bool("smallest", true, "look for the smallest crashkernel= too (minutes per kernel)")
	flag.Parse()
	err := b.run(*smallest)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

type bench struct {
	ctx    context.Context
	rounds int
	dir    string
}

func (b *bench) run(smallest bool) (err error) {
	if b.dir, err = os.MkdirTemp("", "gokexec-bench-"); err != nil {
		return err
	}
	defer os.RemoveAll(b.dir)
	for _, name := range vmlab.MatrixNames() {
		k, err := vmlab.GetKernel(b.ctx, name)
		if err != nil {
			return err
		}
		if err := b.processes(k); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		if err := b.panicToSaved(k); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		if smallest {
			if err := b.smallest(k); err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
		}
	}
	return nil
}

// machine is a guest with gokexec, its own kernel and a capture initramfs.
func (b *bench) machine(k *vmlab.Kernel) (vmlab.Config, error) {
	binary, err := vmlab.Build(b.ctx, "./cmd/gokexec", k.Arch)
	if err != nil {
		return vmlab.Config{}, err
	}
	host, err := vmlab.Build(b.ctx, "./cmd/gokexec", runtime.GOARCH)
	if err != nil {
		return vmlab.Config{}, err
	}
	initrd := filepath.Join(b.dir, k.Name+".img")
	disk, set, target := vmlab.Disk{}, "nvme", "raw:/dev/nvme0n1"
	if k.Arch == "riscv64" { // see test/vm, archMachine
		disk.Bus, set, target = "virtio", "virtio_blk", "raw:/dev/vda"
	}
	out, err := exec.CommandContext(b.ctx, host, "initramfs", "-o", initrd, "--sysroot", k.ModulesRoot, "--kernel", k.Release,
		"--arch", k.Arch, "--init", binary, "--set", set, target).CombinedOutput()
	if err != nil {
		return vmlab.Config{}, fmt.Errorf("gokexec initramfs: %w: %s", err, out)
	}
	return vmlab.Config{Kernel: k, Memory: 512, CrashKernel: "128M", Disks: []vmlab.Disk{disk}, Files: []vmlab.File{
		vmlab.Executable("/bin/gokexec", binary),
		{Path: "/boot/vmlinuz", Source: k.Image},
		{Path: "/boot/capture.img", Source: initrd},
	}}, nil
}

// figure is a median over the rounds.
type figure struct {
	wall, cpu time.Duration
	peak      int64 // bytes
}

func (b *bench) measure(vm *vmlab.VM, argv []string, codes ...int) (figure, error) {
	var wall, cpu []time.Duration
	var peak []int64
	for range b.rounds {
		r, err := vm.Run(b.ctx, vmlab.Command{Argv: argv})
		if err != nil {
			return figure{}, err
		}
		if !slices.Contains(append(codes, 0), r.Code) {
			return figure{}, fmt.Errorf("%q: exit code %d: %s", argv, r.Code, r.Stderr)
		}
		wall, cpu, peak = append(wall, r.Duration), append(cpu, r.UserTime+r.SysTime), append(peak, r.MaxRSS)
	}
	slices.Sort(wall)
	slices.Sort(cpu)
	slices.Sort(peak)
	return figure{wall[b.rounds/2], cpu[b.rounds/2], peak[b.rounds/2]}, nil
}

func (b *bench) processes(k *vmlab.Kernel) error {
	cfg, err := b.machine(k)
	if err != nil {
		return err
	}
	kexec, version, err := b.kexecTools(k)
	if err != nil {
		return err
	}
	unarmed, err := vmlab.Build(b.ctx, "./test/bench/unarmed", k.Arch)
	if err != nil {
		return err
	}
	cfg.CPUs = 2 // one for the program that looks
	cfg.Files = append(append(cfg.Files, kexec.Files...), vmlab.Executable("/bin/unarmed", unarmed))
	vm, err := vmlab.Launch(b.ctx, cfg)
	if err != nil {
		return err
	}
	defer vm.Close()
	console := k.ConsoleArg()
	theirs := func(args ...string) []string { return append(slices.Clone(kexec.Argv), args...) }
	fmt.Printf("\n%s (%s), kexec-tools %s, median of %d\n", k.Name, k.Release, version, b.rounds)
	fmt.Printf("  %-40s %10s %10s %10s\n", "", "wall", "CPU", "peak RSS")
	for _, pair := range []struct {
		what         string
		ours, theirs []string
	}{
		{"load by kexec_file_load", []string{"gokexec", "load", "--crash", "/boot/vmlinuz", "--initrd", "/boot/capture.img", "--cmdline", console},
			theirs("-p", "-s", "/boot/vmlinuz", "--initrd=/boot/capture.img", "--command-line="+console)},
		{"load by kexec_load", []string{"gokexec", "load", "--crash", "--method", "segments", "/boot/vmlinuz", "--initrd", "/boot/capture.img", "--cmdline", console},
			theirs("-p", "-c", "/boot/vmlinuz", "--initrd=/boot/capture.img", "--command-line="+console)},
		// kexec has no dry run; with -d it prints what it plans, and loads.
		{"plan for kexec_load, printed", []string{"gokexec", "load", "--crash", "-n", "--method", "segments", "/boot/vmlinuz", "--initrd", "/boot/capture.img"},
			theirs("-d", "-p", "-c", "/boot/vmlinuz", "--initrd=/boot/capture.img", "--command-line="+console)},
		{"status", []string{"gokexec", "status"}, theirs("-S")},
		{"dry run", []string{"gokexec", "load", "--crash", "-n", "/boot/vmlinuz", "--initrd", "/boot/capture.img"}, nil},
	} {
		if k.Arch != "amd64" && slices.Contains(pair.theirs, "-s") {
			continue // Debian's kernels have no kexec_file_load
		}
		var other []int
		if pair.what == "status" {
			other = []int{4} // unknown: on riscv64 either program leaves a header elsewhere
		}
		ours, err := b.measure(vm, pair.ours, other...)
		if err != nil {
			return err
		}
		print := func(name string, f figure) {
			fmt.Printf("  %-40s %8.1fms %8.1fms %8.1fMB\n", name, ms(f.wall), ms(f.cpu), float64(f.peak)/1e6)
		}
		print(pair.what+": gokexec", ours)
		if pair.theirs == nil {
			continue
		}
		them, err := b.measure(vm, pair.theirs, 1)
		if err != nil {
			return err
		}
		print(pair.what+": kexec", them)
		fmt.Printf("  %-40s %9.2fx %9.2fx %9.2fx\n", "  gokexec / kexec", ms(ours.wall)/ms(them.wall), ms(ours.cpu)/max(ms(them.cpu), 0.001), float64(ours.peak)/float64(them.peak))
	}
	return b.unarmed(vm, theirs)
}

// kexecTools is the newest, for the kernel's architecture.
func (b *bench) kexecTools(k *vmlab.Kernel) (program vmlab.Program, version string, err error) {
	pkg, err := vmlab.GetPackage(b.ctx, "sid", "kexec-tools", k.Arch)
	if err != nil {
		return program, "", err
	}
	program, err = pkg.GuestProgram("sbin/kexec")
	return program, pkg.Version, err
}

// unarmed is how long a reload over a loaded image leaves no crash kernel.
func (b *bench) unarmed(vm *vmlab.VM, theirs func(...string) []string) error {
	console := vm.Config.Kernel.ConsoleArg()
	for _, reload := range []struct {
		what string
		argv []string
	}{
		{"gokexec --method file", []string{"gokexec", "load", "--crash", "--method", "file", "/boot/vmlinuz", "--initrd", "/boot/capture.img"}},
		{"kexec -p -s", theirs("-p", "-s", "/boot/vmlinuz", "--initrd=/boot/capture.img", "--command-line="+console)},
		{"gokexec --method segments", []string{"gokexec", "load", "--crash", "--method", "segments", "/boot/vmlinuz", "--initrd", "/boot/capture.img"}},
		{"kexec -p -c", theirs("-p", "-c", "/boot/vmlinuz", "--initrd=/boot/capture.img", "--command-line="+console)},
	} {
		if vm.Config.Kernel.Arch != "amd64" && (slices.Contains(reload.argv, "-s") || slices.Contains(reload.argv, "file")) {
			continue
		}
		var gaps []time.Duration
		for range b.rounds {
			r, err := vm.Run(b.ctx, vmlab.Command{Argv: append([]string{"unarmed"}, reload.argv...)})
			if err != nil {
				return err
			}
			ns, err := strconv.ParseInt(strings.TrimSpace(r.Stdout), 10, 64)
			if err != nil || r.Code != 0 {
				return fmt.Errorf("unarmed %q: exit code %d, %q, %s", reload.argv, r.Code, r.Stdout, r.Stderr)
			}
			gaps = append(gaps, time.Duration(ns))
		}
		slices.Sort(gaps)
		fmt.Printf("  no crash kernel in a reload by %-18s %8.1fms\n", reload.what, ms(gaps[len(gaps)/2]))
	}
	return nil
}

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

var errNoDump = errors.New("no whole dump came")
