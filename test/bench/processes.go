package main

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gokexec/gokexec/internal/vmlab"
)

// kernelFile and initrdFile are in the guest.
const (
	kernelFile = "/boot/vmlinuz"
	initrdFile = "/boot/capture.img"
)

// program is a command line, and the exit codes other than 0 that it may have.
type program struct {
	name  string
	argv  []string
	codes []int
	env   []string
}

// portable turns off the instructions for SHA-256, which an emulator executes more slowly than code without
// them. kexec-tools uses none.
const portable = "GODEBUG=cpu.all=off"

// pair is what gokexec does and what another program does, if there is one.
type pair struct {
	what         string
	ours, theirs program
	loads        bool // memory is looked at more closely
}

// guest is a virtual machine in which programs are measured.
type guest struct {
	*bench
	vm    *vmlab.VM
	kexec []string // how kexec-tools is called
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
	cfg.CPUs = 2 // one for the program that looks
	cfg.Files = append(cfg.Files, kexec.Files...)
	for _, name := range []string{"guest", "empty"} {
		binary, err := vmlab.Build(b.ctx, "./test/bench/"+name, k.Arch)
		if err != nil {
			return err
		}
		cfg.Files = append(cfg.Files, vmlab.Executable("/bin/"+name, binary))
	}
	vm, err := vmlab.Launch(b.ctx, cfg)
	if err != nil {
		return err
	}
	defer vm.Close()
	g := &guest{bench: b, vm: vm, kexec: kexec.Argv}
	fmt.Printf("\n%s (%s), kexec-tools %s, medians of %d, in turn\n", k.Name, k.Release, version, b.rounds)
	fmt.Printf("  %-44s %10s %10s %10s\n", "", "wall", "CPU", "peak RSS")
	type row struct {
		what    string
		measure func() error
	}
	var rows []row
	for _, p := range g.pairs() {
		rows = append(rows, row{p.what, func() error { return g.compare(p) }})
	}
	rows = append(rows, row{digestRow, g.digest}, row{eventRow, g.event}, row{unarmedRow, g.unarmed})
	for _, r := range rows {
		if b.only != nil && !b.only.MatchString(r.what) {
			continue
		}
		if err := r.measure(); err != nil {
			return err
		}
	}
	return nil
}

// The rows that are not of pairs.
const (
	digestRow  = "of a load by kexec_load, its digest"
	eventRow   = "a hotplug event, while another waits"
	unarmedRow = "no crash kernel in a reload by"
)

func (g *guest) pairs() []pair {
	k := g.vm.Config.Kernel
	console := k.ConsoleArg()
	load := func(args ...string) program {
		return program{name: "gokexec", argv: append([]string{"gokexec", "load", "--crash", kernelFile, "--initrd", initrdFile, "--cmdline", console}, args...)}
	}
	// kexec has no dry run; with -d it prints what it plans, and loads. -S ends with 1 if nothing is loaded.
	kexec := func(args ...string) program {
		return program{name: "kexec", argv: append(slices.Clone(g.kexec), args...), codes: []int{1}}
	}
	kexecLoad := func(args ...string) program {
		return kexec(append(args, kernelFile, "--initrd="+initrdFile, "--command-line="+console)...)
	}
	empty := program{name: "empty", argv: []string{"empty"}}
	var pairs []pair
	if k.Arch == "amd64" { // Debian's other kernels have no kexec_file_load
		slow := load("--method", "segments")
		slow.env = []string{portable}
		pairs = append(pairs, pair{"load by kexec_load, no SHA instructions", slow, kexecLoad("-p", "-c"), false}, pair{"load by kexec_file_load", load("--method", "file"), kexecLoad("-p", "-s"), true})
	}
	return append(pairs,
		pair{"load by kexec_load", load("--method", "segments"), kexecLoad("-p", "-c"), true},
		pair{"plan and checks for kexec_file_load, printed", load("-n", "--method", "file"), program{}, false},
		pair{"plan for kexec_load, printed", load("-n", "--method", "segments"), kexecLoad("-d", "-p", "-c"), false},
		// 4, unknown: on riscv64 either program leaves a header elsewhere
		pair{"status", program{name: "gokexec", argv: []string{"gokexec", "status"}, codes: []int{4}}, kexec("-S"), false},
		pair{"start and exit", program{name: "gokexec", argv: []string{"gokexec", "version"}}, empty, false},
	)
}

// figure is a median over the rounds.
type figure struct {
	wall, cpu time.Duration
	peak      int64 // bytes
}

func (f figure) print(name string) {
	fmt.Printf("  %-44s %8.1fms %8.1fms %8.1fMB\n", name, ms(f.wall), ms(f.cpu), float64(f.peak)/1e6)
}

// compare runs both in turn, since the machine's speed changes.
func (g *guest) compare(p pair) error {
	var ours, theirs []vmlab.Result
	for range g.rounds {
		for _, side := range []struct {
			program
			results *[]vmlab.Result
		}{{p.ours, &ours}, {p.theirs, &theirs}} {
			if side.argv == nil {
				continue
			}
			r, err := g.vm.Run(g.ctx, vmlab.Command{Argv: side.argv, Env: side.env})
			if err != nil {
				return err
			}
			if r.Code != 0 && !slices.Contains(side.codes, r.Code) {
				return fmt.Errorf("%q: exit code %d: %s", side.argv, r.Code, r.Stderr)
			}
			*side.results = append(*side.results, r)
		}
	}
	figureOf(ours).print(p.what + ": " + p.ours.name)
	if theirs == nil {
		return nil
	}
	figureOf(theirs).print(p.what + ": " + p.theirs.name)
	ratio := func(of func(vmlab.Result) float64) float64 {
		var ratios []float64
		for i := range ours {
			ratios = append(ratios, of(ours[i])/max(of(theirs[i]), 1e-9))
		}
		return median(ratios)
	}
	fmt.Printf("  %-44s %9.2fx %9.2fx %9.2fx\n", "  "+p.ours.name+" / "+p.theirs.name,
		ratio(func(r vmlab.Result) float64 { return r.Duration.Seconds() }),
		ratio(func(r vmlab.Result) float64 { return (r.UserTime + r.SysTime).Seconds() }),
		ratio(func(r vmlab.Result) float64 { return float64(r.MaxRSS) }))
	if !p.loads {
		return nil
	}
	var anonymous [2]int64
	for i, side := range []program{p.ours, p.theirs} {
		var err error
		if anonymous[i], err = g.number(append([]string{"anonymous"}, side.argv...)...); err != nil {
			return err
		}
	}
	fmt.Printf("  %-44s %21.2fx %9.1fMB (%.1f MB)\n", "  anonymous memory", float64(anonymous[0])/float64(anonymous[1]), float64(anonymous[0])/1e6, float64(anonymous[1])/1e6)
	return nil
}

func figureOf(results []vmlab.Result) figure {
	var wall, cpu []time.Duration
	var peak []int64
	for _, r := range results {
		wall, cpu, peak = append(wall, r.Duration), append(cpu, r.UserTime+r.SysTime), append(peak, r.MaxRSS)
	}
	return figure{median(wall), median(cpu), median(peak)}
}

func median[T time.Duration | int64 | float64](values []T) T {
	slices.Sort(values)
	return values[len(values)/2]
}

// event is the process of a hotplug event that finds that another one waits.
func (g *guest) event() error {
	holder, err := g.vm.Start(g.ctx, vmlab.Command{Argv: []string{"guest", "wait"}})
	if err != nil {
		return err
	}
	for began := time.Now(); ; time.Sleep(100 * time.Millisecond) {
		links, err := g.vm.Glob(g.ctx, "/run/gokexec/pending")
		if err == nil && len(links) == 0 && time.Since(began) > time.Minute {
			err = errors.New("guest wait does not hold the pending lock")
		}
		if err != nil {
			return err
		}
		if len(links) > 0 {
			break
		}
	}
	err = g.compare(pair{eventRow,
		program{name: "gokexec", argv: []string{"gokexec", "hotplug"}}, program{name: "empty", argv: []string{"empty"}}, false})
	if killErr := holder.Signal(g.ctx, 9); err == nil {
		err = killErr
	}
	return err
}

// digest is the part of a load by kexec_load for which kexec-tools has no counterpart on riscv64.
func (g *guest) digest() error {
	ns, err := g.number("digest", kernelFile, initrdFile)
	if err != nil {
		return err
	}
	fmt.Printf("  %-44s %8.1fms\n", digestRow, ms(time.Duration(ns)))
	return nil
}

// unarmed is how long a reload over a loaded image leaves no crash kernel.
func (g *guest) unarmed() error {
	console := g.vm.Config.Kernel.ConsoleArg()
	theirs := func(method string) []string {
		return append(append([]string{"unarmed"}, g.kexec...), "-p", method, kernelFile, "--initrd="+initrdFile, "--command-line="+console)
	}
	ours := func(pages string) []string { return []string{"load", pages, kernelFile, initrdFile, console} }
	type way struct {
		what string
		argv []string
	}
	ways := []way{
		{"kexec_load: gokexec", ours("1")},
		{"kexec_load: kexec", theirs("-c")},
		{"kexec_load: gokexec, TLB conflict", ours("0")},
	}
	if g.vm.Config.Kernel.Arch == "amd64" {
		ways = append(ways, way{"kexec_file_load: gokexec", []string{"unarmed", "gokexec", "load", "--crash", "--method", "file", kernelFile, "--initrd", initrdFile, "--cmdline", console}},
			way{"kexec_file_load: kexec", theirs("-s")})
	}
	gaps := make([][]time.Duration, len(ways))
	for range g.rounds {
		for i, w := range ways {
			ns, err := g.number(w.argv...)
			if err != nil {
				return err
			}
			gaps[i] = append(gaps[i], time.Duration(ns))
		}
	}
	for i, w := range ways {
		fmt.Printf("  "+unarmedRow+" %-33s %8.1fms\n", w.what, ms(median(gaps[i])))
	}
	return nil
}

// number is what the program guest prints.
func (g *guest) number(args ...string) (int64, error) {
	r, err := g.vm.Run(g.ctx, vmlab.Command{Argv: append([]string{"guest"}, args...)})
	if err != nil {
		return 0, err
	}
	n, err := strconv.ParseInt(strings.TrimSpace(r.Stdout), 10, 64)
	if err != nil || r.Code != 0 {
		return 0, fmt.Errorf("guest %q: exit code %d, %q, %s", args, r.Code, r.Stdout, r.Stderr)
	}
	return n, nil
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

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
