package capture

import (
	"context"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func watchdogConfig(final Action) string {
	return `{"targets":[{"type":"raw","device":"/dev/disk"}],"watchdog":true,"final_action":"` + string(final) + `"}`
}

// later makes the disk appear after d.
func later(s *fakeSystem, d time.Duration) {
	os.Rename(s.path("/dev/disk"), s.path("/dev/later"))
	time.AfterFunc(d, func() { os.Rename(s.path("/dev/later"), s.path("/dev/disk")) })
}

// All watchdogs are fed to the end, and disarmed only for what is to stay: never by a mere close.
func TestInitWatchdog(t *testing.T) {
	keepLimits(t)
	for _, final := range []Action{Reboot, Halt, Poweroff} {
		s := newInitSystem(t, watchdogConfig(final))
		for _, name := range []string{"watchdog0", "watchdog1", "watchdog12"} {
			s.file(t, "/dev/"+name, "")
			s.file(t, "/sys/class/watchdog/"+name+"/timeout", "30\n")
		}
		s.file(t, "/sys/class/watchdog/watchdog12/nowayout", "1\n")
		s.file(t, "/dev/watchdog", "")
		s.file(t, "/dev/watchdog2", "")
		s.file(t, "/sys/class/watchdog/watchdog2/identity", "Software Watchdog\n")
		synctest.Test(t, func(t *testing.T) {
			later(s, 50*time.Second) // over six periods of 7.5 s
			Init(InitOptions{System: s})
			for _, name := range []string{"watchdog0", "watchdog1", "watchdog12"} {
				got := string(mustRead(t, s.path("/dev/"+name)))
				pets := strings.Count(got, "\x00")
				if pets != 8 || strings.Contains(got, "V") != (final == Halt && name != "watchdog12") {
					t.Errorf("%s: %s got %q; want 7 pets and a last one, V only for a halt and only where it helps", final, name, got)
				}
			}
			for _, name := range []string{"watchdog", "watchdog2"} {
				if got := mustRead(t, s.path("/dev/"+name)); len(got) > 0 {
					t.Errorf("%s: %s got %q; want it left alone", final, name, got)
				}
			}
			if said := strings.Contains(s.output(), "watchdog12 can't be stopped (nowayout)"); said != (final == Halt) {
				t.Errorf("%s: shown:\n%s\nwant a word on the watchdog that can't be stopped: %v", final, s.output(), final == Halt)
			}
		})
	}
}

// A watchdog whose driver is loaded first is fed while the other modules take their time.
func TestInitWatchdogDuringModules(t *testing.T) {
	keepLimits(t)
	s := newInitSystem(t, watchdogConfig(Reboot))
	synctest.Test(t, func(t *testing.T) {
		Init(InitOptions{System: s, LoadModules: func(ctx context.Context) error {
			time.Sleep(time.Second)
			s.file(t, "/sys/class/watchdog/watchdog0/timeout", "10\n")
			s.file(t, "/dev/watchdog0", "")
			time.Sleep(time.Minute)
			if pets := len(mustRead(t, s.path("/dev/watchdog0"))); pets < 60/3 {
				t.Errorf("%d pets in the minute that the modules took; want one each 2.5 s", pets)
			}
			return nil
		}})
	})
}

func TestInitWithoutWatchdog(t *testing.T) {
	keepLimits(t)
	s := newInitSystem(t, watchdogConfig(Reboot))
	if end := Init(InitOptions{System: s}); end.ExitCode != ExitComplete || !strings.Contains(s.output(), "watchdog: there is no /dev/watchdogN") {
		t.Errorf("without a watchdog: %+v, shown:\n%s", end, s.output())
	}
}

// A driver that hangs holds nobody up.
func TestInitWatchdogHangs(t *testing.T) {
	keepLimits(t)
	s := newInitSystem(t, watchdogConfig(Halt))
	s.file(t, "/dev/watchdog0", "")
	s.file(t, "/dev/watchdog1", "")
	synctest.Test(t, func(t *testing.T) {
		hang := make(chan struct{})
		s.faults["/dev/watchdog0"] = &fault{stream: func() error { <-hang; return nil }}
		start := time.Now()
		if end := Init(InitOptions{System: s}); end.ExitCode != ExitComplete || end.Action != Halt {
			t.Errorf("Init = %+v; want it complete", end)
		}
		if d := time.Since(start); d > 10*time.Second {
			t.Errorf("it took %v", d)
		}
		close(hang)
	})
}

func TestPetInterval(t *testing.T) {
	for content, want := range map[string]time.Duration{"60\n": 10 * time.Second, "16\n": 4 * time.Second, "1": 500 * time.Millisecond, "x": 5 * time.Second} {
		s := newFakeSystem(t)
		s.file(t, "/sys/class/watchdog/watchdog3/timeout", content)
		if got := petInterval(s.FS(), "watchdog3"); got != want {
			t.Errorf("petInterval(%q) = %v; want %v", content, got, want)
		}
	}
}

func TestWatchdogNames(t *testing.T) {
	for _, tt := range []struct{ have, want []string }{
		{nil, nil},
		{[]string{"watchdog"}, []string{"watchdog"}},
		{[]string{"watchdog", "watchdog0", "watchdog10", "watchdog2"}, []string{"watchdog0", "watchdog2", "watchdog10"}},
		{[]string{"watchdogs", "watchdog-x", "watchdog1x"}, nil},
	} {
		s := newFakeSystem(t)
		for _, name := range tt.have {
			s.file(t, "/dev/"+name, "")
		}
		if got := watchdogNames(s.FS()); !slices.Equal(got, tt.want) {
			t.Errorf("watchdogNames(%q) = %q; want %q", tt.have, got, tt.want)
		}
	}
}

// Modules are loaded before /proc/vmcore is opened for the first time: virtio_mem keeps reads off unplugged
// memory, and adds what is plugged, only when it comes before (fs/proc/vmcore.c).
func TestInitModulesBeforeVMCore(t *testing.T) {
	keepLimits(t)
	s := newInitSystem(t, goodConfig)
	hidden := s.path(VMCorePath) + ".hidden"
	if err := os.Rename(s.path(VMCorePath), hidden); err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		end := Init(InitOptions{System: s, LoadModules: func(context.Context) error {
			time.Sleep(moduleTimeout - time.Second)
			return os.Rename(hidden, s.path(VMCorePath))
		}})
		if end.ExitCode != ExitComplete {
			t.Errorf("Init = %+v; want a complete dump: /proc/vmcore was looked at too early\n%s", end, s.output())
		}
	})
}
