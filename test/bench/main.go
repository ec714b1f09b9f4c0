// Command bench measures gokexec in virtual machines and compares it with kexec-tools
// in the same one: time and peak memory of processes, the time from the panic to the
// saved dump, and the smallest crashkernel= with which a dump is saved. Under emulation
// only the ratios are meaningful.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/gokexec/gokexec/internal/vmlab"
	"github.com/gokexec/gokexec/pkg/initramfs"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, unix.SIGTERM)
	b := &bench{ctx: ctx, target: targetRaw}
	flag.DurationVar(&b.timeout, "timeout", 75*time.Second, "how long one crash may take; a capture kernel without memory may hang")
	targets := flag.String("targets", targetRaw+","+targetExt4, "to what the smallest crashkernel= is to save")
	flag.IntVar(&b.rounds, "rounds", 7, "how often each process is run")
	parts := flag.String("parts", "processes,crash,dumps,saved,smallest", "what to measure; smallest, the smallest crashkernel=, takes minutes per kernel")
	flag.Func("only", "measure only the processes that a regular expression matches, such as 'kexec_load|reload'", func(text string) (err error) {
		b.only, err = regexp.Compile(text)
		return err
	})
	b.register()
	flag.Parse()
	b.targets = strings.Split(*targets, ",")
	err := b.run(strings.Split(*parts, ","))
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

type bench struct {
	ctx     context.Context
	rounds  int
	only    *regexp.Regexp // nil: all
	timeout time.Duration
	dir     string
	targets []string // of smallest
	target  string   // of captures: targetRaw or targetExt4
	initrd  initramfs.Report
	dumpOptions
}

func (b *bench) run(parts []string) (err error) {
	all := map[string]func(*vmlab.Kernel) error{"processes": b.processes, "crash": b.panicToSaved, "dumps": b.dumps, "saved": b.saved, "smallest": b.smallest}
	for _, part := range parts {
		if all[part] == nil {
			return fmt.Errorf("-parts %s: it is none of processes, crash, dumps, saved and smallest", part)
		}
	}
	if b.dir, err = os.MkdirTemp("", "gokexec-bench-"); err != nil {
		return err
	}
	defer os.RemoveAll(b.dir)
	for _, name := range vmlab.MatrixNames() {
		k, err := vmlab.GetKernel(b.ctx, name)
		if err != nil {
			return err
		}
		for _, part := range parts {
			if err := all[part](k); err != nil {
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
	args := []string{"--set", set, target}
	if b.target == targetExt4 {
		if disk.Source, err = b.ext4(); err != nil {
			return vmlab.Config{}, err
		}
		args = []string{"--set", set, "--fstype", "ext4", "fs:" + strings.TrimPrefix(target, "raw:") + ":/"}
	}
	out, err := exec.CommandContext(b.ctx, host, append([]string{"initramfs", "-o", initrd, "--json", "--sysroot", k.ModulesRoot, "--kernel", k.Release,
		"--arch", k.Arch, "--init", binary}, args...)...).Output()
	if err != nil {
		return vmlab.Config{}, fmt.Errorf("gokexec initramfs: %w", err)
	}
	if err := json.Unmarshal(out, &b.initrd); err != nil {
		return vmlab.Config{}, fmt.Errorf("gokexec initramfs --json: %w", err)
	}
	return vmlab.Config{Kernel: k, Memory: 512, CrashKernel: "128M", Disks: []vmlab.Disk{disk}, Files: []vmlab.File{
		vmlab.Executable("/bin/gokexec", binary),
		{Path: kernelFile, Source: k.Image},
		{Path: initrdFile, Source: initrd},
	}}, nil
}

var errNoDump = errors.New("no whole dump came")
