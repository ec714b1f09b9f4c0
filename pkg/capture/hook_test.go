package capture

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

const hookConfig = `{"targets":[{"type":"filesystem","device":"/dev/disk","fstype":"ext4","path":"/"}],"final_action":"poweroff","failure_action":"halt",
	"hooks":{"pre":["/bin/pre","/bin/pre2"],"post":["/bin/post"],"emergency":["/bin/emergency"],"timeout_seconds":7}}`

// hooked is what a hook was given.
type hooked struct {
	program string
	env     map[string]string
}

// hookSystem notes the hooks that run, and lets them end as told.
func hookSystem(t *testing.T, config string, end func(Child) error) (*fakeSystem, *[]hooked) {
	t.Helper()
	s := newInitSystem(t, config)
	var ran []hooked
	s.child = func(c Child) error {
		h := hooked{c.Path, map[string]string{}}
		for _, v := range c.Env {
			name, value, _ := strings.Cut(v, "=")
			h.env[name] = value
		}
		if c.Limit != 7*time.Second {
			t.Errorf("%s has %v; want 7s", c.Path, c.Limit)
		}
		ran = append(ran, h)
		return end(c)
	}
	return s, &ran
}

// TestHooks: they run in their order with what is known, and their failures cost nothing.
func TestHooks(t *testing.T) {
	keepLimits(t)
	fails := func(c Child) error {
		for range 3 * maxHookConsole / 100 {
			fmt.Fprintf(c.Output, "%s \x1b[2J %s\n", c.Path, strings.Repeat("x", 100))
		}
		fmt.Fprint(c.Output, "last words")
		return errors.New("exit code 3")
	}
	for _, tt := range []struct {
		name    string
		config  string
		prepare func(*fakeSystem)
		action  Action
		ran     string
		outcome Outcome
	}{
		{"complete", hookConfig, func(*fakeSystem) {}, Poweroff, "/bin/pre /bin/pre2 /bin/post", Complete},
		{"mount fails", hookConfig, func(s *fakeSystem) { s.mountErr["ext4"] = errors.New("damaged") }, Halt, "/bin/pre /bin/pre2 /bin/post /bin/emergency", Failed},
		{"no vmcore", hookConfig, func(s *fakeSystem) { os.Remove(s.path(VMCorePath)) }, Halt, "/bin/emergency", Failed},
		{"directory target", strings.Replace(hookConfig, `"filesystem","device":"/dev/disk","fstype":"ext4",`, `"directory",`, 1), func(*fakeSystem) {}, Halt, "/bin/emergency", Failed},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s, ran := hookSystem(t, tt.config, fails)
			s.file(t, "/proc/sys/vm/panic_on_oom", "1\n")
			tt.prepare(s)
			end := Init(InitOptions{System: s, Version: "v1"})
			if end.Action != tt.action {
				t.Errorf("Init = %+v; want %s", end, tt.action)
			}
			var names []string
			for _, h := range *ran {
				names = append(names, h.program)
			}
			if got := strings.Join(names, " "); got != tt.ran {
				t.Fatalf("hooks = %s; want %s", got, tt.ran)
			}
			last := (*ran)[len(*ran)-1].env
			if last["GOKEXEC_OUTCOME"] != string(tt.outcome) || last["GOKEXEC_VMCORE"] != VMCorePath || last["GOKEXEC_VERSION"] != "v1" {
				t.Errorf("environment = %v; want outcome %s", last, tt.outcome)
			}
			if n := len(s.output()); n > len(names)*(maxHookConsole+30000) {
				t.Errorf("%d bytes are shown; want less", n)
			}
			if strings.Contains(s.output(), "\x1b") {
				t.Error("what a hook prints reaches the console as it is")
			}
			if tt.outcome != Complete {
				return
			}
			first := (*ran)[0].env
			if _, known := first["GOKEXEC_OUTCOME"]; known || first["GOKEXEC_STAGE"] != "pre" || first["GOKEXEC_KERNEL_RELEASE"] != testRelease || first["GOKEXEC_CRASH_TIME"] != "2023-11-14T22:13:20Z" {
				t.Errorf("environment of pre = %v", first)
			}
			dir := "/run/gokexec/target/0/" + testDirName
			if last["GOKEXEC_DIRECTORY"] != dir || last["GOKEXEC_LOCATION"] != "/"+testDirName || last["GOKEXEC_TARGET"] != "fs:/dev/disk:/" {
				t.Errorf("environment of post = %v", last)
			}
			if i := slices.Index(s.events, "child /bin/post"); i < 0 || !slices.Contains(s.events[i:], "unmount /run/gokexec/target/0") {
				t.Errorf("events = %q; want the target mounted while post runs", s.events)
			}
			res := readResult(t, mustRead(t, s.path(dir+"/result.json")))
			if len(res.Hooks) != 3 || res.Outcome != Complete {
				t.Fatalf("result = %+v; want complete, and three hooks", res)
			}
			if h := res.Hooks[2]; h.Stage != HookPost || h.Program != "/bin/post" || h.Error != "exit code 3" || len(h.Output) > maxHookOutput || !strings.HasSuffix(h.Output, "\nlast words") {
				t.Errorf("hooks[2] = %+v", h)
			}
			if got := string(mustRead(t, s.path("/proc/sys/vm/panic_on_oom"))); !strings.HasPrefix(got, "0") {
				t.Errorf("panic_on_oom = %q; want 0", got)
			}
		})
	}
}

// TestHookPanics: neither a hook that can't be run, nor one that is never over, costs the dump.
func TestHookPanics(t *testing.T) {
	keepLimits(t)
	s, _ := hookSystem(t, hookConfig, nil)
	synctest.Test(t, func(t *testing.T) {
		s.child = func(c Child) error {
			if c.Path == "/bin/pre2" {
				time.Sleep(time.Hour)
			}
			panic("planted")
		}
		begin := time.Now()
		if end := Init(InitOptions{System: s}); end.Action != Poweroff || end.ExitCode != ExitComplete {
			t.Errorf("Init = %+v; want the dump saved", end)
		}
		if took := time.Since(begin); took > time.Minute {
			t.Errorf("it took %v", took)
		}
		time.Sleep(2 * time.Hour)
	})
}

// TestHookSeesResult: a post hook finds a result that is valid, should the machine end in it.
func TestHookSeesResult(t *testing.T) {
	keepLimits(t)
	var s *fakeSystem
	var seen *Result
	s, _ = hookSystem(t, hookConfig, func(c Child) error {
		if c.Path == "/bin/post" {
			seen = readResult(t, mustRead(t, s.path("/run/gokexec/target/0/"+testDirName+"/result.json")))
		}
		return nil
	})
	Init(InitOptions{System: s})
	if seen == nil || seen.Outcome != Complete || len(seen.Hooks) != 2 || seen.VMCore.File != VMCoreName {
		t.Errorf("a post hook sees %+v; want a complete result", seen)
	}
}

func TestHooksValidate(t *testing.T) {
	for _, tt := range []struct{ hooks, err string }{
		{`{"pre":["x"]}`, `hooks.pre: "x" is not the absolute path`},
		{`{"post":["/a/../b"]}`, `hooks.post: "/a/../b" is not`},
		{`{"emergency":["/1","/2","/3","/4","/5","/6","/7","/8","/9"]}`, "hooks.emergency has 9 programs"},
		{`{"timeout_seconds":-1}`, "hooks.timeout_seconds is -1"},
		{`{"timeout_seconds":3601}`, "want 0 to 3600"},
		{`{"pre":["/a"],"timeout_seconds":3600}`, ""},
	} {
		_, err := ParseConfig(strings.NewReader(`{"targets":[{"type":"raw","device":"/dev/x"}],"hooks":` + tt.hooks + `}`))
		if (err == nil) != (tt.err == "") || err != nil && !strings.Contains(err.Error(), tt.err) {
			t.Errorf("%s: %v; want %q", tt.hooks, err, tt.err)
		}
	}
}
