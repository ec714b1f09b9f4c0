package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/gokexec/gokexec/internal/vmlab"
)

// dumpRounds is how often each program makes each dump; the best counts.
const dumpRounds = 3

// dumps has gokexec and makedumpfile filter and compress /proc/vmcore in turn, in the same capture kernel, into
// its memory: with one CPU and with two.
func (b *bench) dumps(k *vmlab.Kernel) error {
	cfg, err := b.machine(k)
	if err != nil {
		return err
	}
	pkg, err := vmlab.GetPackage(b.ctx, "sid", "makedumpfile", k.Arch)
	if err != nil {
		return err
	}
	peer, err := pkg.GuestProgram("usr/bin/makedumpfile")
	if err != nil {
		return err
	}
	agent, err := vmlab.AgentFiles(b.ctx, k)
	if err != nil {
		return err
	}
	image, err := vmlab.Initramfs(slices.Concat(agent, peer.Files, []vmlab.File{cfg.Files[0]})...)
	if err != nil {
		return err
	}
	initrd := filepath.Join(b.dir, k.Name+"-dumps.img")
	if err := os.WriteFile(initrd, image, 0o600); err != nil {
		return err
	}
	// A capture kernel is told to look for one serial port only.
	cfg.Memory, cfg.CrashKernel, cfg.CPUs, cfg.Channel = 1024, "256M", 2, "virtio"
	cfg.Files = append(slices.Clone(cfg.Files), vmlab.File{Path: "/boot/dumps.img", Source: initrd})
	for _, cpus := range []string{"1", "2"} {
		if err := b.dumpsWith(cfg, peer.Argv, pkg.Version, cpus); err != nil {
			return fmt.Errorf("%s CPUs: %w", cpus, err)
		}
	}
	return nil
}

func (b *bench) dumpsWith(cfg vmlab.Config, peer []string, version, cpus string) error {
	vm, err := vmlab.Launch(b.ctx, cfg)
	if err != nil {
		return err
	}
	defer vm.Close()
	run := func(argv ...string) (time.Duration, error) {
		start := time.Now()
		r, err := vm.Run(b.ctx, vmlab.Command{Argv: argv})
		if err == nil && r.Code != 0 {
			err = fmt.Errorf("%s: exit code %d: %s%s", strings.Join(argv, " "), r.Code, r.Stdout, r.Stderr)
		}
		return time.Since(start), err
	}
	if _, err := run("gokexec", "load", "--crash", kernelFile, "--initrd", "/boot/dumps.img", "--cmdline", cfg.AgentCmdline(), "--cpus", cpus); err != nil {
		return err
	}
	if err := vm.Crash(b.ctx, -1); err != nil {
		return err
	}
	if _, err := vm.WaitHello(b.ctx); err != nil {
		return err
	}
	for _, form := range []struct{ name, option string }{{"zstd", "-z"}, {"lzo", "-l"}, {"zlib", "-c"}} {
		programs := []struct {
			argv []string
			best time.Duration
		}{
			{argv: []string{"gokexec", "dump", "--dump-level", "31", "--compress", form.name, "/proc/vmcore", "-o", "/dump"}},
			{argv: append(slices.Clone(peer), "-f", form.option, "-d", "31", "/proc/vmcore", "/dump")},
		}
		for range dumpRounds {
			for i := range programs {
				p := &programs[i]
				took, err := run(p.argv...)
				if err != nil {
					return err
				}
				if p.best == 0 || took < p.best {
					p.best = took
				}
			}
		}
		fmt.Printf("  dump in the capture kernel, level 31, %s, %s CPU: gokexec %.1f s, makedumpfile %s %.1f s: %.2fx\n", form.name, cpus,
			programs[0].best.Seconds(), version, programs[1].best.Seconds(), programs[0].best.Seconds()/programs[1].best.Seconds())
	}
	return nil
}
