package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/gokexec/gokexec/internal/kexectest"
	"github.com/gokexec/gokexec/pkg/memmap"
	"github.com/gokexec/gokexec/pkg/statedir"
)

const (
	// stormVar makes the test binary gokexec on the machine in the directory it names.
	stormVar = "GOKEXEC_STORM_MACHINE"
	// peakVar makes it print its /proc/self/status.
	peakVar = "GOKEXEC_STORM_PEAK"
	// stormLoad is how long the fake kernel loads.
	stormLoad = 500 * time.Millisecond
	// stormWorkers is how many events udev handles at once.
	stormWorkers = 8
	// stormRule is what udev needs for an event apart from its program.
	stormRule = 2 * time.Millisecond
)

func TestMain(m *testing.M) {
	realProcess()
	if dir := os.Getenv(stormVar); dir != "" {
		os.Exit(stormProcess(dir, os.Args[1:]))
	}
	os.Exit(m.Run())
}

// childTB is all of a testing.TB that the fake kernel needs in another process.
type childTB struct{ testing.TB }

func (childTB) Helper()                   {}
func (childTB) Fatal(args ...any)         { panic(fmt.Sprint(args...)) }
func (childTB) Fatalf(f string, a ...any) { panic(fmt.Sprintf(f, a...)) }

// stormProcess is gokexec, whole but for the system calls.
func stormProcess(dir string, argv []string) int {
	kernel := kexectest.NewKernel(kexectest.OpenMachine(childTB{}, dir))
	_, err := os.Stat(filepath.Join(dir, "sys/kernel/crash_elfcorehdr_size"))
	kernel.HotplugFlag = err == nil
	kernel.DuringLoad = func() {
		noteLoad(dir)
		time.Sleep(stormLoad)
	}
	e := &env{stdout: os.Stdout, stderr: os.Stderr, sysroot: dir, stateDir: filepath.Join(dir, "run/gokexec"), kernel: kernel}
	code := run(context.Background(), e, argv)
	if os.Getenv(peakVar) != "" {
		status, err := os.ReadFile("/proc/self/status")
		fmt.Println(string(status), err)
	}
	return code
}

func noteLoad(dir string) {
	f, err := os.OpenFile(filepath.Join(dir, "loads"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		panic(err)
	}
	defer f.Close()
	fmt.Fprintln(f, "load")
}

func loadsOf(t *testing.T, dir string) int {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(dir, "loads"))
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	return strings.Count(string(b), "\n")
}

// stormResult is what a storm has cost.
type stormResult struct {
	events, processes, reloads int
	storm, late                time.Duration // until the last event; from then on to the end of all processes
	cpu                        time.Duration
	peak                       string // memory of a process that reloads
	accurate                   bool
}

// row is a line of the table; scale is how many such storms make the whole one.
func (r *stormResult) row(name string, scale int) string {
	note := ""
	if scale > 1 {
		note = fmt.Sprintf("  (%d events, times %d)", r.events, scale)
	}
	n := time.Duration(scale)
	return fmt.Sprintf("%-42s %10d %8d %9.1fs %9.1fs %9.1fs %10s  %t%s", name, r.processes*scale, r.reloads*scale, (n * time.Duration(r.reloads) * stormLoad).Seconds(),
		(n * r.cpu).Seconds(), (r.late + (n-1)*(r.storm+r.late)).Seconds(), r.peak, r.accurate, note)
}

// storm handles events as udev does, eight of them per change of memory. The process of an
// event is nil if the rule starts none. If held is not nil, a load that is under way holds it
// until all events but one are handled.
func storm(t *testing.T, events int, dir string, held *statedir.Lock, change func(n int), process func() *exec.Cmd) *stormResult {
	t.Helper()
	var before, after unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_CHILDREN, &before); err != nil {
		t.Fatal(err)
	}
	queue := make(chan struct{}, events)
	var wg sync.WaitGroup
	var started, handled atomic.Int64
	for range stormWorkers {
		wg.Go(func() {
			for range queue {
				time.Sleep(stormRule)
				if c := process(); c != nil {
					started.Add(1)
					if out, err := c.CombinedOutput(); err != nil {
						t.Errorf("%v: %v: %s", c.Args, err, out)
					}
				}
				if handled.Add(1) == int64(events)-1 && held != nil {
					held.Release()
				}
			}
		})
	}
	// The kernel is through with all of it before udev has begun.
	for n := range events / 8 {
		change(n)
	}
	began := time.Now()
	for range events {
		queue <- struct{}{}
	}
	close(queue)
	for len(queue) > 0 {
		time.Sleep(time.Millisecond)
	}
	last := time.Now()
	wg.Wait()
	r := &stormResult{events: events, storm: last.Sub(began), late: time.Since(last), processes: int(started.Load()), reloads: loadsOf(t, dir)}
	if err := unix.Getrusage(unix.RUSAGE_CHILDREN, &after); err != nil {
		t.Fatal(err)
	}
	r.cpu = time.Duration(after.Utime.Nano() - before.Utime.Nano() + after.Stime.Nano() - before.Stime.Nano())
	return r
}

// ruleTests are the files for which the udev rule starts nothing.
func ruleTests(t *testing.T) []string {
	rules, err := os.ReadFile("../../dist/udev/60-gokexec.rules")
	if err != nil {
		t.Fatal(err)
	}
	var files []string
	for _, m := range regexp.MustCompile(`(?m)^TEST=="/(run/gokexec/[a-z]+)", GOTO="gokexec_end"$`).FindAllSubmatch(rules, -1) {
		files = append(files, string(m[1]))
	}
	if len(files) != 2 {
		t.Fatalf("the udev rule tests %q; want the daemon's note and the pending link", files)
	}
	return files
}

// gokexecStorm is that of gokexec hotplug, as the udev rule has it. If during, it comes
// while another process loads.
func gokexecStorm(t *testing.T, events int, updates, during bool) *stormResult {
	b := newBench(t)
	tests := ruleTests(t)
	if updates {
		b.kernel.Write("sys/kernel/crash_elfcorehdr_size", "917616\n")
		b.kernel.HotplugFlag = true
	}
	b.load()
	var held *statedir.Lock
	if during {
		var err error
		if held, err = b.state().LockReload(t.Context(), 0); err != nil {
			t.Fatal(err)
		}
	}
	r := storm(t, events, b.kernel.Dir, held, func(n int) {
		start := memmap.PhysAddr(4<<30 + uint64(n)<<30)
		b.kernel.AddMemory(memmap.Range{Start: start, End: start + 1<<30})
		b.kernel.MemoryOnline()
	}, func() *exec.Cmd {
		for _, file := range tests {
			if _, err := os.Stat(filepath.Join(b.kernel.Dir, file)); err == nil {
				return nil
			}
		}
		c := exec.Command(os.Args[0], "hotplug")
		c.Env = append(os.Environ(), stormVar+"="+b.kernel.Dir)
		return c
	})
	r.peak = peakOfReload(t, b)
	r.accurate = b.run("status") == exitOK && !b.state().Marked()
	return r
}

// peakOfReload is the memory of one more event's process, which reloads. (That
// wait4 gives is the test's own: a child begins in its memory.)
func peakOfReload(t *testing.T, b *bench) string {
	b.kernel.AddMemory(memmap.Range{Start: 1 << 45, End: 1<<45 + 1<<30})
	c := exec.Command(os.Args[0], "hotplug")
	c.Env = append(os.Environ(), stormVar+"="+b.kernel.Dir, peakVar+"=1")
	out, err := c.CombinedOutput()
	_, peak, found := strings.Cut(string(out), "VmHWM:")
	if err != nil || !found {
		t.Errorf("gokexec hotplug: %v: %s", err, out)
	}
	peak, _, _ = strings.Cut(peak, "\n")
	return strings.Join(strings.Fields(peak), " ")
}

// fakeLoad is a loader for shell scripts: it takes the kernel's lock, and what it has
// loaded describes the memory of its beginning.
const fakeLoad = `#!/bin/sh
exec 8>kernel.lock
flock -n 8 || exit 255
m=$(cat memory)
echo load >>loads
sleep %.1f
echo $m >header
`

// scripts are distributions' ways to handle an event, told in a few lines; what
// their own scripts do in addition is left out, to their favour.
var scripts = map[string]string{
	// kdump-udev-throttler of kdump-utils, and kdumpctl's lock.
	"RHEL: throttler": `
exec 9>throttle.lock
flock -n 9 || exit 0
sleep 1
exec 9>&-
exec 7>kdump.lock
flock 7
./load`,
	// load-once.sh of SUSE's kdump.
	"SUSE: load-once": `
echo $$ >>jobs
flock -n once.lock -c 'while [ -s jobs ]; do : >jobs; ./load; done' || exit 0`,
	// 50-kdump-tools.rules: kdump-config try-reload, one after the other.
	"Debian: reload per event": `
exec 7>kdump.lock
flock 7
./load`,
}

func scriptStorm(t *testing.T, events int, script string) *stormResult {
	dir := t.TempDir()
	write := func(name, text string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	write("load", fmt.Sprintf(fakeLoad, stormLoad.Seconds()))
	write("event", "#!/bin/sh"+script+"\n")
	write("memory", "0\n")
	last := ""
	r := storm(t, events, dir, nil, func(n int) {
		last = fmt.Sprintln(n + 1)
		write("memory.new", last)
		if err := os.Rename(filepath.Join(dir, "memory.new"), filepath.Join(dir, "memory")); err != nil {
			t.Fatal(err)
		}
	}, func() *exec.Cmd {
		c := exec.Command("./event")
		c.Dir = dir
		return c
	})
	header, err := os.ReadFile(filepath.Join(dir, "header"))
	r.accurate, r.peak = err == nil && string(header) == last, "-"
	return r
}

// A storm as udev handles it, the whole of gokexec but for the system calls, over a fake
// kernel: no reload where the kernel updates the header, elsewhere one. Processes have the
// real time, so in the test the storm comes while another process holds the reload lock.
// GOKEXEC_STORM=bench holds no lock, and has 3,840 events, as of 480 GiB, and
// distributions' ways in comparison (make bench).
func TestStormOfProcesses(t *testing.T) {
	benchmark := os.Getenv("GOKEXEC_STORM") == "bench"
	events := 64
	if benchmark {
		events = 3840
	}
	table := fmt.Sprintf("%d events, a load takes %v\n%-42s %10s %8s %10s %10s %10s %10s  %s\n", events, stormLoad, "", "processes", "reloads", "unarmed", "CPU", "accurate", "peak RSS", "at the end")
	for _, tt := range []struct {
		name    string
		updates bool
		reloads int
	}{{"gokexec hotplug, the kernel updates", true, 0}, {"gokexec hotplug, the kernel does not", false, 1}} {
		r := gokexecStorm(t, events, tt.updates, !benchmark)
		if r.processes == 0 || r.processes > events/2 {
			t.Errorf("%s: %d processes for %d events; want few, since the rule tests the pending link", tt.name, r.processes, events)
		}
		if !r.accurate || r.reloads != tt.reloads && !benchmark {
			t.Errorf("%s: %d reloads, accurate: %v; want %d, accurate", tt.name, r.reloads, r.accurate, tt.reloads)
		}
		table += r.row(tt.name, 1) + "\n"
	}
	if benchmark {
		for _, name := range []string{"RHEL: throttler", "SUSE: load-once", "Debian: reload per event"} {
			n, scale := events, 1
			if strings.HasPrefix(name, "Debian") {
				n, scale = events/60, 60
			}
			table += scriptStorm(t, n, scripts[name]).row(name, scale) + "\n"
		}
	}
	t.Log("\n" + table)
}
