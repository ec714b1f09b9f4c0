package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"

	"github.com/gokexec/gokexec/internal/kexectest"
	"github.com/gokexec/gokexec/pkg/statedir"
)

func (b *bench) state() statedir.Dir {
	return statedir.Dir(filepath.Join(b.kernel.Dir, "run/gokexec"))
}

// wantUnarmed checks that each look says that a crash kernel is wanted and none loaded.
func (b *bench) wantUnarmed(when string) {
	b.t.Helper()
	calls := b.kernel.Calls
	b.want(exitStale, "one is wanted, but was lost", "", "status")
	b.want(exitStale, `"wanted": true`, "", "status", "--json")
	b.want(exitStale, "warning  crash kernel: one is wanted, but none is loaded", "", "check")
	if b.state().Problem() == "" || !b.state().Marked() || b.kernel.Calls != calls {
		b.t.Errorf("%s: problem %q, marked %v, %d calls by looking; want both kept, and no calls", when, b.state().Problem(), b.state().Marked(), b.kernel.Calls-calls)
	}
}

// wantArmed checks that nothing of it is left.
func (b *bench) wantArmed(when string) {
	b.t.Helper()
	b.want(exitOK, "elfcorehdr:    accurate", "", "status")
	if strings.Contains(b.stdout.String(), "hotplug:") || b.state().Problem() != "" || b.state().Marked() {
		b.t.Errorf("%s: problem %q, marked %v, status %s; want none of it", when, b.state().Problem(), b.state().Marked(), &b.stdout)
	}
	b.want(exitOK, "", "", "check")
}

// unloadCmd is a shell command that unloads, as far as the fake machine shows.
func (b *bench) unloadCmd() string {
	return "echo 0 >" + filepath.Join(b.kernel.Dir, "sys/kernel/kexec_crash_loaded")
}

// Whatever loses the crash kernel: each look says so until one has loaded it again.
func TestLostAndFound(t *testing.T) {
	const tooLong = "a reload command that takes too long"
	for _, tt := range []struct {
		name string
		lose func(*bench)
	}{
		{"a reload that fails late", func(b *bench) {
			b.kernel.AddMemory(kexectest.DIMM())
			b.kernel.FailLate = []unix.Errno{unix.ENOMEM, unix.ENOMEM}
			b.want(exitStale, "", "no crash kernel is loaded, although one is wanted", "hotplug")
		}},
		{"an explicit reload that fails late", func(b *bench) {
			b.kernel.FailLate = []unix.Errno{unix.ENOMEM, unix.ENOMEM}
			b.want(exitStale, "", "could not be restored", "reload")
		}},
		{"a reload command that fails", func(b *bench) {
			b.kernel.AddMemory(kexectest.DIMM())
			b.want(exitStale, "", "exit status 3", "hotplug", "--reload-command", b.unloadCmd()+"; exit 3")
		}},
		{"a reload command that ends with 0", func(b *bench) {
			b.kernel.AddMemory(kexectest.DIMM())
			b.want(exitStale, "", "a reload ended without an error, but has loaded nothing", "hotplug", "--reload-command", b.unloadCmd())
		}},
		{tooLong, func(b *bench) {
			b.kernel.AddMemory(kexectest.DIMM())
			b.want(exitStale, "", "was ended: it took too long", "hotplug", "--reload-timeout", "2s", "--reload-command", b.unloadCmd()+"; sleep 1000")
		}},
		{"a load that fails late", func(b *bench) {
			b.kernel.FailLate = []unix.Errno{unix.ENOMEM, unix.ENOMEM}
			b.want(exitFailure, "", "could not be restored", "load", "--crash", b.vmlinuz, "--append", "other")
		}},
		{"a kexec -p that fails late", func(b *bench) {
			b.kernel.FailLate = []unix.Errno{unix.ENOMEM, unix.ENOMEM}
			if code, _ := b.kexec("-p", b.vmlinuz, "--append=other"); code == 0 {
				b.t.Error("kexec -p succeeds")
			}
		}},
		{"a load that is killed, and one that is refused", func(b *bench) {
			lock, err := b.state().LockReload(context.Background(), 0)
			if err != nil {
				b.t.Fatal(err)
			}
			b.kernel.Write("sys/kernel/kexec_crash_loaded", "0\n")
			if err := lock.Begin(); err != nil {
				b.t.Fatal(err)
			}
			if err := lock.Release(); err != nil {
				b.t.Fatal(err)
			}
			b.want(exitFailure, "", "the command line of 3", "load", "--crash", b.vmlinuz, "--append", strings.Repeat("x", 3000))
		}},
	} {
		lostAndFound := func(t *testing.T) {
			b := newBench(t)
			b.load()
			tt.lose(b)
			b.wantUnarmed("at once")
			b.kernel.FailLate = []unix.Errno{unix.ENOMEM}
			b.want(exitStale, "", "no crash kernel is loaded, although one is wanted", "hotplug")
			b.wantUnarmed("after a look that could not help")
			if log, err := os.ReadFile(b.kmsg); err != nil || !strings.Contains(string(log), "<3>gokexec: ") || !strings.Contains(string(log), "no crash kernel is loaded") {
				t.Errorf("the kernel's log holds %q, %v; want it said", log, err)
			}
			b.want(exitOK, "", "reloading the crash kernel: it was lost", "hotplug")
			b.wantArmed("after a look that could")
			if got := b.kernel.Crash.Initrd; len(got) > 0 && !bytes.Equal(got, cpioOf(t, map[string]int{"init": 6})) {
				t.Errorf("loaded with initrd %q; want what was loaded before", got)
			}
		}
		t.Run(tt.name, func(t *testing.T) {
			if tt.name == tooLong {
				lostAndFound(t) // a bubble's time stands still while it waits for a process
				return
			}
			synctest.Test(t, lostAndFound)
		})
	}
}

// What another program has unloaded is said, and loaded again; an explicit unload ends it.
func TestUnloadedByAnother(t *testing.T) { synctest.Test(t, testUnloadedByAnother) }

func testUnloadedByAnother(t *testing.T) {
	b := newBench(t)
	b.load()
	b.kernel.Write("sys/kernel/kexec_crash_loaded", "0\n")
	b.want(exitStale, "one is wanted, but was lost", "", "status")
	b.want(exitOK, "", "another program has unloaded it", "hotplug")
	b.wantArmed("after a look")
	b.kernel.Write("sys/kernel/kexec_crash_loaded", "0\n")
	b.want(exitOK, "crash kernel reloaded", "", "reload")
	b.wantArmed("after a reload")
	b.kernel.Write("sys/kernel/kexec_crash_loaded", "0\n")
	b.want(exitNotLoaded, "", "no crash kernel is loaded, and from now on none is wanted", "unload", "--crash")
	calls := b.kernel.Calls
	b.want(exitOK, "", "", "hotplug")
	b.want(exitNotLoaded, "", "", "status")
	b.want(exitNotLoaded, "", "nothing can be reloaded", "reload")
	if b.kernel.Calls != calls {
		t.Error("what was explicitly unloaded was loaded again")
	}
}

// An explicit unload ends what a killed load has begun.
func TestUnloadAfterKilledLoad(t *testing.T) {
	for _, unload := range []func(*bench){
		func(b *bench) { b.want(exitOK, "unloaded", "", "unload", "--crash") },
		func(b *bench) {
			if code, _ := b.kexec("-p", "-u"); code != 0 {
				b.t.Errorf("kexec -p -u = %d", code)
			}
		},
	} {
		b := newBench(t)
		b.load()
		lock, err := b.state().LockReload(t.Context(), 0)
		if err != nil {
			t.Fatal(err)
		}
		if err := lock.Begin(); err != nil {
			t.Fatal(err)
		}
		if err := lock.Release(); err != nil {
			t.Fatal(err)
		}
		unload(b)
		log := filepath.Join(b.dir, "log")
		b.want(exitOK, "", "", "hotplug", "--reload-command", "echo run >>"+log)
		if _, err := os.Stat(log); err == nil {
			t.Error("the command was run for what was explicitly unloaded")
		}
		b.want(exitNotLoaded, "", "", "status")
	}
}

// A reload command whose own unload is gokexec's does not end the wish, nor the record.
func TestUnloadInReloadCommand(t *testing.T) {
	b := newBench(t)
	b.load()
	lock, err := b.state().LockReload(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv(lockVar, "held")
	if code, _ := b.kexec("-p", "-u"); code != 0 || b.kernel.Crash != nil {
		t.Errorf("kexec -p -u = %d, loaded %v", code, b.kernel.Crash)
	}
	t.Setenv(lockVar, "")
	if err := lock.Release(); err != nil {
		t.Fatal(err)
	}
	b.want(exitStale, "one is wanted, but was lost", "", "status")
	b.want(exitOK, "", "reloading", "hotplug")
	b.wantArmed("afterwards")
}

// The command's whole process group is ended, also those that ignore SIGTERM.
func TestReloadCommandIsEnded(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	cmd := exec.Command("/bin/sh", "-c", `trap "" TERM; sleep 1000 & echo begun; wait; sleep 1000`)
	cmd.Stdout = w // of all its processes: it ends with the last
	cmd.SysProcAttr = &unix.SysProcAttr{Setpgid: true}
	err = cmd.Start()
	w.Close()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	output := bufio.NewReader(r)
	if line, err := output.ReadString('\n'); err != nil {
		t.Errorf("the command says %q, %v", line, err)
	}
	cancel(errTimeout)
	if err := endInTime(ctx, cmd, 300*time.Millisecond); err != errTimeout {
		t.Errorf("endInTime = %v; want %v", err, errTimeout)
	}
	if rest, err := io.ReadAll(output); err != nil || len(rest) > 0 {
		t.Errorf("until the last process ended: %q, %v; want nothing", rest, err)
	}
}

func TestReloadTimeoutOption(t *testing.T) {
	b := newBench(t)
	for _, bad := range []string{"0", "-1s", "soon"} {
		b.want(exitUsage, "", "--reload-timeout", "hotplug", "--reload-command", "true", "--reload-timeout", bad)
	}
}

// Nobody reads what hotplug says: it loads nevertheless, and ends.
func TestHotplugUnread(t *testing.T) {
	for _, argv := range [][]string{{"hotplug"}, {"reload"}, {"hotplug", "--reload-command", "yes reload | head -c 300000"}} {
		b := newBench(t)
		b.load()
		b.kernel.AddMemory(kexectest.DIMM())
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := unix.FcntlInt(w.Fd(), unix.F_SETPIPE_SZ, 4096); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(make([]byte, 4096)); err != nil { // it is full
			t.Fatal(err)
		}
		loadsBefore := loadsOf(t, b.kernel.Dir)
		c := exec.Command(os.Args[0], argv...)
		c.Env = append(os.Environ(), stormVar+"="+b.kernel.Dir)
		c.Stderr = w
		_ = within(t, mustStart(t, c), c.String())
		if loads := loadsOf(t, b.kernel.Dir) - loadsBefore; len(argv) == 1 && loads != 1 {
			t.Errorf("gokexec %q made %d loads while nobody reads stderr; want 1", argv, loads)
		}
		r.Close()
		w.Close()
	}
}

// A unit may start it as often as it likes: it loads if that is of use.
func TestUnlessLoaded(t *testing.T) {
	b := newBench(t)
	argv := []string{"load", "--crash", "--unless-loaded", b.vmlinuz, "--initrd", b.initrd}
	is := func(when string, loads int, more ...string) {
		t.Helper()
		before := b.kernel.Calls
		want := "crash kernel loaded"
		if loads == 0 {
			want = "crash kernel is loaded already, as asked for, and accurate: " + b.vmlinuz
		}
		b.want(exitOK, want, "", append(argv, more...)...)
		if got := b.kernel.Calls - before; got != loads {
			t.Errorf("%s: %d system calls; want %d", when, got, loads)
		}
		if lines := strings.Count(b.stdout.String(), "\n"); loads == 0 && lines != 1 {
			t.Errorf("%s: %d lines; want one", when, lines)
		}
	}
	is("at first", 1)
	is("once more", 0)
	is("with other words", 1, "--append", "x")
	is("with the same again", 0, "--append", "x")
	is("without the words", 1)
	rebuilt := cpioOf(t, map[string]int{"init": 7})
	b.file("initrd", rebuilt)
	is("after the initrd was rebuilt", 1)
	if got := b.kernel.Crash.Initrd; !bytes.Equal(got, rebuilt) {
		t.Errorf("loaded with %q; want the new initrd", got)
	}
	b.want(exitOK, "reloaded", "", "reload")
	is("after a reload", 0)
	b.kernel.AddMemory(kexectest.DIMM())
	is("when it is stale", 1)
	b.kernel.Write("sys/kernel/kexec_crash_loaded", "0\n")
	is("when it was lost", 1)
	b.want(exitOK, "", "", "unload", "--crash")
	is("after an unload", 1)
	b.want(exitOK, "would load", "", append([]string{"load", "--crash", "-n", "--unless-loaded"}, b.vmlinuz)...)
	b.want(exitOK, "loaded already", "", append(argv, "-n")...)
	b.want(exitOK, "", "", append(argv, "--json")...)
	var report struct {
		Loaded  bool
		Already bool `json:"already_loaded"`
	}
	if err := json.Unmarshal(b.stdout.Bytes(), &report); err != nil || !report.Loaded || !report.Already {
		t.Errorf("--json: %s, %v", &b.stdout, err)
	}
	b.want(exitUsage, "", "--unless-loaded goes with --crash", "load", "--boot", "--unless-loaded", b.vmlinuz)
}

// The first load is killed: that is said before any event.
func TestFirstLoadKilled(t *testing.T) { synctest.Test(t, testFirstLoadKilled) }

func testFirstLoadKilled(t *testing.T) {
	b := newBench(t)
	lock, err := b.state().LockReload(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := lock.Begin(); err != nil {
		t.Fatal(err)
	}
	b.want(exitNotLoaded, "", "", "status") // it is under way
	if err := lock.Release(); err != nil {
		t.Fatal(err)
	}
	b.want(exitStale, "one is wanted, but was lost", "", "status")
	b.want(exitStale, "one is wanted, but none is loaded", "", "check")
	b.want(exitStale, "", "nothing can be reloaded", "hotplug")
	b.want(exitStale, "the last attempt could not repair it", "", "status")
	b.load()
	b.want(exitOK, "", "", "hotplug")
	b.wantArmed("after a load")
}

// A kernel that is busy for longer than an explicit load waits leaves nothing stale.
func TestHotplugBusyKernel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		b.load()
		b.kernel.AddMemory(kexectest.DIMM())
		b.kernel.Busy = 80
		began := time.Now()
		b.want(exitFailure, "", "another program holds the kexec lock", "reload")
		b.want(exitOK, "", "the kernel is busy", "hotplug")
		if waited := time.Since(began); b.kernel.Busy != 0 || waited < 20*time.Second || waited > 3*time.Minute {
			t.Errorf("%d busy answers left after %v", b.kernel.Busy, waited)
		}
		b.wantArmed("afterwards")
	})
}

// Attempts that the kernel counts are not used up by events.
func TestLostWithLimit(t *testing.T) { synctest.Test(t, testLostWithLimit) }

func testLostWithLimit(t *testing.T) {
	b := newBench(t)
	b.load()
	b.kernel.AddMemory(kexectest.DIMM())
	b.kernel.Write("proc/sys/kernel/kexec_load_limit_panic", "9\n")
	b.kernel.FailLate = []unix.Errno{unix.ENOMEM, unix.ENOMEM, unix.ENOMEM}
	b.want(exitStale, "", "could not be restored", "hotplug")
	calls := b.kernel.Calls
	for range 3 {
		b.want(exitStale, "", "each attempt uses one", "hotplug")
	}
	if got := b.kernel.Calls - calls; got != 0 {
		t.Errorf("%d loads by events after the first had failed; want none", got)
	}
	b.kernel.FailLate = nil
	b.want(exitOK, "reloaded", "", "reload")
	b.want(exitOK, "", "", "hotplug")
	b.wantArmed("after an explicit reload")
}
