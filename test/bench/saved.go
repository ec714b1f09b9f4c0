package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/gokexec/gokexec/internal/vmlab"
)

// peerScript is an init that saves with makedumpfile what gokexec saves, as the scripts of distributions do: the log, then the
// dump under another name until it is whole, both synced.
const peerScript = `#!/bin/busybox sh
b=/bin/busybox
mark() { echo "peer: $1" >/dev/console; }
$b mount -t proc proc /proc
$b mount -t sysfs sysfs /sys
$b mount -t devtmpfs devtmpfs /dev
mark init
while read kind name path params; do
	[ "$kind" = gokexec-modules ] || $b insmod /$path $params
done </etc/gokexec/modules.list
mark modules
until $b mount -t ext4 /dev/nvme0n1 /mnt 2>/dev/null; do $b usleep 10000; done
mark mounted
MAKEDUMPFILE --dump-dmesg /proc/vmcore /mnt/dmesg.txt >/dev/null
$b sync
mark log
MAKEDUMPFILE OPTIONS /proc/vmcore /mnt/vmcore.incomplete >/dev/null
mark dump
$b sync
$b mv /mnt/vmcore.incomplete /mnt/vmcore
$b sync
mark synced
$b umount /mnt
mark reboot
$b reboot -f
`

// stages are what a crash goes through, each with what the console says at its end.
var stages = []struct{ name, ours, peers string }{
	{"kernel, unpacking", "saving the memory of the crashed kernel", "peer: init"},
	{"modules", "gokexec: /proc/vmcore: ", "peer: modules"},
	{"target", "gokexec: target ", "peer: mounted"},
	{"log", "gokexec: kernel log saved", "peer: log"},
	{"report", "gokexec: report: ", ""},
	{"survey, checks", " pages: ", ""},
	{"dump", "vmcore 100%", "peer: dump"},
	{"sync", "gokexec: complete", "peer: synced"},
	{"unmount", "gokexec: reboot", "peer: reboot"},
	{"reboot", "", ""},
}

// crashWay is one way to save the memory, and what each crash took until the end of each stage.
type crashWay struct {
	name   string
	init   string // parameter of the capture kernel
	initrd string
	peer   bool
	wall   [][]time.Duration
	cpu    [][]time.Duration
}

// saved measures whole crashes from the panic to the reboot: gokexec as init, and a script with makedumpfile, from one
// initramfs and onto the same new ext4. CPU is the emulator's, which other work on the host disturbs less than the time.
func (b *bench) saved(k *vmlab.Kernel) error {
	for _, cpus := range b.cpus {
		for _, codec := range b.codecs {
			if err := b.savedWith(k, codec, cpus); err != nil {
				return err
			}
		}
	}
	return nil
}

func (b *bench) savedWith(k *vmlab.Kernel, codec, cpus string) error {
	cfg, err := b.machine(k)
	if err != nil {
		return err
	}
	cfg.Memory, cfg.CrashKernel = b.memory, "192M"
	if cpus != "1" {
		cfg.CPUs = 2
	}
	own := cfg.Files[0].Source
	initrd, version, err := b.savedInitrd(k, own, codec)
	if err != nil {
		return err
	}
	ways := []*crashWay{{name: "gokexec", initrd: "saved.img"}, {name: "makedumpfile", initrd: "saved.img", init: " rdinit=/peer/init", peer: true}}
	cfg.Files = append(slices.Clone(cfg.Files), vmlab.File{Path: "/boot/saved.img", Source: initrd})
	if b.before != "" {
		old, _, err := b.savedInitrd(k, b.before, codec)
		if err != nil {
			return err
		}
		cfg.Files = append(cfg.Files, vmlab.File{Path: "/boot/before.img", Source: old})
		ways = append(ways, &crashWay{name: "before", initrd: "before.img"})
	}
	// An interrupt leaves the rounds that were made.
	for i := 0; i < b.rounds*len(ways) && err == nil; i++ {
		w := ways[i%len(ways)]
		if err = b.crashOnce(cfg, w, cpus); err != nil {
			err = fmt.Errorf("%s: %w", w.name, err)
		}
	}
	rounds := len(ways[len(ways)-1].wall)
	if rounds == 0 {
		return err
	}
	for _, w := range ways {
		w.wall, w.cpu = w.wall[:rounds], w.cpu[:rounds]
	}
	fmt.Printf("  from the panic to the reboot, level 31, %s, %s CPU, %d MiB, makedumpfile %s, medians of %d: wall (CPU of the emulator), s\n", codec, cpus, b.memory, version, rounds)
	printStages(ways)
	return err
}

func printStages(ways []*crashWay) {
	for i, s := range stages {
		fmt.Printf("    %-20s", s.name)
		for _, w := range ways {
			fmt.Printf("  %12s %6.2f (%5.2f)", w.name, stageMedian(w.wall, i, i), stageMedian(w.cpu, i, i))
		}
		fmt.Println()
	}
	for _, sum := range []struct {
		name        string
		first, last int
	}{{"panic to synced", 0, 7}, {"init to synced", 1, 7}, {"after the report", 5, 7}, {"all", 0, len(stages) - 1}} {
		fmt.Printf("    %-20s", sum.name)
		for _, w := range ways {
			fmt.Printf("  %12s %6.2f (%5.2f)", w.name, stageMedian(w.wall, sum.first, sum.last), stageMedian(w.cpu, sum.first, sum.last))
		}
		for i := 1; i < len(ways); i++ {
			var wall, cpu []float64
			for r := range ways[0].wall {
				wall = append(wall, span(ways[0].wall[r], sum.first, sum.last)/span(ways[i].wall[r], sum.first, sum.last))
				cpu = append(cpu, span(ways[0].cpu[r], sum.first, sum.last)/span(ways[i].cpu[r], sum.first, sum.last))
			}
			fmt.Printf("   of %s: %.2f (%.2f)", ways[i].name, median(wall), median(cpu))
		}
		fmt.Println()
	}
}

// span is how long the stages from first to last took, in seconds.
func span(ends []time.Duration, first, last int) float64 {
	begin := time.Duration(0)
	if first > 0 {
		begin = ends[first-1]
	}
	return (ends[last] - begin).Seconds()
}

func stageMedian(rounds [][]time.Duration, first, last int) float64 {
	var all []float64
	for _, r := range rounds {
		all = append(all, span(r, first, last))
	}
	return median(all)
}

// savedInitrd makes the initramfs: gokexec's own, and what a makedumpfile needs.
func (b *bench) savedInitrd(k *vmlab.Kernel, init, codec string) (path, version string, err error) {
	host, err := vmlab.Build(b.ctx, "./cmd/gokexec", runtime.GOARCH)
	if err != nil {
		return "", "", err
	}
	pkg, err := vmlab.GetPackage(b.ctx, "sid", "makedumpfile", k.Arch)
	if err != nil {
		return "", "", err
	}
	peer, err := pkg.GuestProgram("usr/bin/makedumpfile")
	if err != nil {
		return "", "", err
	}
	box, err := vmlab.GetPackage(b.ctx, "trixie", "busybox-static", k.Arch)
	if err != nil {
		return "", "", err
	}
	options := map[string]string{"zstd": "-z", "lzo": "-l", "zlib": "-c", "none": ""}[codec] + " -d 31"
	script := filepath.Join(b.dir, "peer-"+codec)
	text := strings.NewReplacer("MAKEDUMPFILE", strings.Join(peer.Argv, " "), "OPTIONS", options).Replace(peerScript)
	if err := os.WriteFile(script, []byte(text), 0o755); err != nil {
		return "", "", err
	}
	path = filepath.Join(b.dir, filepath.Base(init)+"-"+codec+"-saved.img")
	argv := []string{"initramfs", "-o", path, "--sysroot", k.ModulesRoot, "--kernel", k.Release, "--arch", k.Arch, "--init", init,
		"--other-machine", "--set", "nvme", "--fstype", "ext4", "--compress", codec, "--add", script + ":/peer/init", "--add", box.Path("usr/bin/busybox") + ":/bin/busybox"}
	for _, f := range peer.Files {
		argv = append(argv, "--add", f.Source+":"+f.Path)
	}
	out, err := exec.CommandContext(b.ctx, host, append(argv, "fs:/dev/nvme0n1:/")...).CombinedOutput()
	if err != nil {
		return "", "", fmt.Errorf("gokexec initramfs: %w: %s", err, out)
	}
	return path, pkg.Version, nil
}

// crashOnce boots, loads, panics, and notes what the stages took.
func (b *bench) crashOnce(cfg vmlab.Config, w *crashWay, cpus string) error {
	ctx, cancel := context.WithTimeout(b.ctx, 4*b.timeout)
	defer cancel()
	disk := filepath.Join(b.dir, "disk.img")
	if err := os.WriteFile(disk, nil, 0o600); err != nil {
		return err
	}
	if err := os.Truncate(disk, 2<<30); err != nil {
		return err
	}
	if out, err := exec.CommandContext(ctx, "mke2fs", "-q", "-t", "ext4", "-E", "lazy_itable_init=0", disk).CombinedOutput(); err != nil {
		return fmt.Errorf("mke2fs: %w: %s", err, out)
	}
	cfg.Disks = []vmlab.Disk{{Source: disk}}
	vm, err := vmlab.Launch(ctx, cfg)
	if err != nil {
		return err
	}
	defer vm.Close()
	r, err := vm.Run(ctx, vmlab.Command{Argv: []string{"gokexec", "load", "--crash", kernelFile, "--initrd", "/boot/" + w.initrd,
		"--append", cfg.Kernel.ConsoleArg() + w.init, "--cpus", cpus}})
	if err != nil || r.Code != 0 {
		return fmt.Errorf("load: %v %s", err, r.Stderr)
	}
	before := len(vm.Console())
	began, busy := time.Now(), vm.Busy()
	if err := vm.Crash(ctx, -1); err != nil {
		return err
	}
	ended := make(chan error, 1)
	go func() {
		_, err := vm.Wait(ctx)
		ended <- err
	}()
	var wall, cpu []time.Duration
	seen, used := before, time.Duration(0)
	note := func(now time.Duration) { wall, cpu = append(wall, now), append(cpu, used) }
	for {
		var end error
		over := false
		select {
		case end = <-ended:
			over = true
		case <-time.After(5 * time.Millisecond):
		}
		now := time.Since(began)
		used = max(used, vm.Busy()-busy)
		text := vm.Console()
		for len(wall) < len(stages)-1 {
			mark := stages[len(wall)].ours
			if w.peer {
				mark = stages[len(wall)].peers
			}
			if mark != "" {
				at := strings.Index(text[seen:], mark)
				if at < 0 {
					break
				}
				seen += at + len(mark)
			}
			note(now)
		}
		if over {
			if end != nil || len(wall) != len(stages)-1 {
				return fmt.Errorf("it ended after %q: %v\n%s", stages[len(wall)].name, end, text[before:])
			}
			note(now)
			w.wall, w.cpu = append(w.wall, wall), append(w.cpu, cpu)
			return nil
		}
	}
}
