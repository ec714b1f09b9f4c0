package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/gokexec/gokexec/internal/vmlab"
)

// dumpOptions say which dumps are compared, in the parts dumps and saved.
type dumpOptions struct {
	before       string // an older gokexec
	memory       int    // MiB
	cpus, codecs []string
}

func (o *dumpOptions) register() {
	o.cpus, o.codecs = []string{"1", "2"}, []string{"zstd", "lzo", "zlib"}
	list := func(to *[]string) func(string) error {
		return func(text string) error {
			*to = strings.Split(text, ",")
			return nil
		}
	}
	flag.StringVar(&o.before, "before", "", "dumps, saved: compare with this older gokexec, too")
	flag.IntVar(&o.memory, "memory", 1024, "dumps, saved: MiB of the machine")
	flag.Func("cpus", "dumps, saved: CPUs of the capture kernel (1,2)", list(&o.cpus))
	flag.Func("codecs", "dumps, saved: of zstd, lzo, zlib, none and, dumps only, elf (zstd,lzo,zlib)", list(&o.codecs))
}

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
	files := slices.Concat(agent, peer.Files, []vmlab.File{cfg.Files[0]})
	if b.before != "" {
		files = append(files, vmlab.Executable("/bin/before", b.before))
	}
	image, err := vmlab.Initramfs(files...)
	if err != nil {
		return err
	}
	initrd := filepath.Join(b.dir, k.Name+"-dumps.img")
	if err := os.WriteFile(initrd, image, 0o600); err != nil {
		return err
	}
	// A capture kernel is told to look for one serial port only.
	cfg.Memory, cfg.CrashKernel, cfg.CPUs, cfg.Channel = b.memory, "256M", 2, "virtio"
	cfg.Files = append(slices.Clone(cfg.Files), vmlab.File{Path: "/boot/dumps.img", Source: initrd})
	for _, cpus := range b.cpus {
		if err := b.dumpsWith(cfg, peer.Argv, pkg.Version, cpus); err != nil {
			return fmt.Errorf("%s CPUs: %w", cpus, err)
		}
	}
	return nil
}

// dumpWay is one program that filters and compresses, and what its runs took.
type dumpWay struct {
	name string
	argv []string
	runs []dumpRun
}

// dumpRun is what one run took: on the clock, of the emulator's CPU, and as the guest counts it for the process.
type dumpRun struct{ wall, busy, user, sys time.Duration }

func (b *bench) dumpsWith(cfg vmlab.Config, peer []string, version, cpus string) error {
	vm, err := vmlab.Launch(b.ctx, cfg)
	if err != nil {
		return err
	}
	defer vm.Close()
	run := func(argv ...string) (dumpRun, error) {
		start, busy := time.Now(), vm.Busy()
		r, err := vm.Run(b.ctx, vmlab.Command{Argv: argv})
		if err == nil && r.Code != 0 {
			err = fmt.Errorf("%s: exit code %d: %s%s", strings.Join(argv, " "), r.Code, r.Stdout, r.Stderr)
		}
		return dumpRun{time.Since(start), vm.Busy() - busy, r.UserTime, r.SysTime}, err
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
	options := map[string][]string{"zstd": {"-z"}, "lzo": {"-l"}, "zlib": {"-c"}, "none": nil, "elf": {"-E"}}
	for _, codec := range b.codecs {
		form := []string{"--compress", codec}
		if codec == "elf" {
			form = []string{"--format", "elf"}
		}
		gokexec := func(name string) []string {
			return append([]string{name, "dump", "--dump-level", "31", "/proc/vmcore", "-o", "/dump"}, form...)
		}
		ways := []*dumpWay{{name: "gokexec", argv: gokexec("gokexec")},
			{name: "makedumpfile", argv: append(slices.Concat(peer, options[codec]), "-f", "-d", "31", "/proc/vmcore", "/dump")}}
		if b.before != "" {
			ways = append(ways, &dumpWay{name: "before", argv: gokexec("before")})
		}
		var err error
		for i := 0; i < b.rounds*len(ways) && err == nil; i++ {
			w := ways[i%len(ways)]
			var took dumpRun
			if took, err = run(w.argv...); err == nil {
				w.runs = append(w.runs, took)
			}
		}
		rounds := len(ways[len(ways)-1].runs)
		if rounds == 0 {
			return err
		}
		fmt.Printf("  dump in the capture kernel, level 31, %s, %s CPU, makedumpfile %s, in turn, %d times: best of wall, of the emulator's CPU, user + system\n", codec, cpus, version, rounds)
		for _, w := range ways {
			fmt.Printf("    %-14s %6.2f %6.2f %6.2f + %.2f s", w.name, w.best(wallOf), w.best(busyOf), w.best(userOf), w.best(sysOf))
			if w != ways[0] {
				fmt.Printf("   gokexec takes %.2f, %.2f of it", pairs(ways[0], w, wallOf), pairs(ways[0], w, busyOf))
			}
			fmt.Println()
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func wallOf(r dumpRun) time.Duration { return r.wall }
func busyOf(r dumpRun) time.Duration { return r.busy }
func userOf(r dumpRun) time.Duration { return r.user }
func sysOf(r dumpRun) time.Duration  { return r.sys }

// best is the least of the runs, in seconds.
func (w *dumpWay) best(of func(dumpRun) time.Duration) float64 {
	least := of(w.runs[0])
	for _, r := range w.runs {
		least = min(least, of(r))
	}
	return least.Seconds()
}

// pairs is the median of a's part of b in each round.
func pairs(a, b *dumpWay, of func(dumpRun) time.Duration) float64 {
	var ratios []float64
	for i := range b.runs {
		ratios = append(ratios, of(a.runs[i]).Seconds()/of(b.runs[i]).Seconds())
	}
	return median(ratios)
}
