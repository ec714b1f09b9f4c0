package main

import (
	"archive/tar"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"time"

	"github.com/gokexec/gokexec/internal/vmlab"
	"github.com/gokexec/gokexec/pkg/capture"
)

// cycle loads, panics, and gives the result of the capture and the time from
// the panic to the reboot after it.
func (b *bench) cycle(cfg vmlab.Config, load ...string) (*capture.Result, time.Duration, error) {
	ctx, cancel := context.WithTimeout(b.ctx, b.timeout)
	defer cancel()
	vm, err := vmlab.Launch(ctx, cfg)
	if err != nil {
		return nil, 0, err
	}
	defer vm.Close()
	if len(load) == 0 {
		load = []string{"gokexec", "load", "--crash", "/boot/vmlinuz", "--initrd", "/boot/capture.img", "--append", cfg.Kernel.ConsoleArg()}
	}
	r, err := vm.Run(ctx, vmlab.Command{Argv: load})
	if err != nil || r.Code != 0 {
		return nil, 0, fmt.Errorf("%w: load: %v %s", errNoDump, err, r.Stderr)
	}
	if err := vm.Crash(ctx, -1); err != nil {
		return nil, 0, err
	}
	start := time.Now()
	if _, err := vm.Wait(ctx); err != nil {
		return nil, 0, fmt.Errorf("%w: %w", errNoDump, err)
	}
	took := time.Since(start)
	result, err := b.readResult(vm.Disk(0))
	if err != nil || result.Outcome != capture.Complete {
		return nil, 0, fmt.Errorf("%w: %v", errNoDump, err)
	}
	return result, took, nil
}

// readResult finds the result of a dump on a raw device, or in a directory of an ext4.
func (b *bench) readResult(disk string) (*capture.Result, error) {
	if text, err := exec.CommandContext(b.ctx, "debugfs", "-R", "ls -p /", disk).Output(); err == nil && len(text) > 0 {
		return b.readResultFile(disk, string(text))
	}
	f, err := os.Open(disk)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	for tr := tar.NewReader(f); ; {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			return nil, errors.New("no result on the disk")
		}
		if err != nil {
			return nil, err
		}
		if h.Name == capture.ResultName {
			var r capture.Result
			return &r, json.NewDecoder(tr).Decode(&r)
		}
	}
}

func (b *bench) panicToSaved(k *vmlab.Kernel) error {
	cfg, err := b.machine(k)
	if err != nil {
		return err
	}
	r, took, err := b.cycle(cfg)
	if err != nil {
		return err
	}
	if err := b.panicBeside(k, cfg, took-time.Duration(r.Durations.TotalSeconds*float64(time.Second))); err != nil {
		return err
	}
	fmt.Printf("  panic to saved: %.1f s for %.0f MB of memory, as %.1f MB (%s, level %d); gokexec's peak %.1f MB, least available %.0f of %.0f MB\n",
		took.Seconds(), float64(r.VMCore.SizeBytes)/1e6, float64(r.VMCore.SavedBytes)/1e6, r.VMCore.Compression, r.VMCore.DumpLevel,
		float64(r.Memory.PeakRSSBytes)/1e6, float64(r.Memory.MinMemAvailableBytes)/1e6, float64(r.Memory.MemTotalBytes)/1e6)
	return nil
}

// panicBeside has kexec-tools load the same: what differs from the panic to the
// capture is the purgatory, which checks all that is loaded (riscv64: kexec-tools has none).
func (b *bench) panicBeside(k *vmlab.Kernel, cfg vmlab.Config, ours time.Duration) error {
	kexec, _, err := b.kexecTools(k)
	if err != nil {
		return err
	}
	cfg.Files = append(slices.Clone(cfg.Files), kexec.Files...)
	r, took, err := b.cycle(cfg, append(slices.Clone(kexec.Argv), "-p", "-c", "/boot/vmlinuz", "--initrd=/boot/capture.img",
		"--command-line="+k.ConsoleArg()+" nr_cpus=1 reset_devices irqpoll acpi_no_memhotplug cma=0")...)
	if err != nil {
		return fmt.Errorf("after kexec -p -c: %w", err)
	}
	theirs := took - time.Duration(r.Durations.TotalSeconds*float64(time.Second))
	fmt.Printf("  panic to capture, and its reboot: gokexec %.1f s, after kexec -p -c %.1f s: %.2fx\n", ours.Seconds(), theirs.Seconds(), ours.Seconds()/theirs.Seconds())
	return nil
}
