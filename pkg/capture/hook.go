package capture

import (
	"context"
	"fmt"
	"path"
	"strings"
	"sync"
	"time"
)

// HookStage says when a hook runs.
type HookStage string

// The stages.
const (
	HookPre       HookStage = "pre"       // before the first target is tried
	HookPost      HookStage = "post"      // after the capture, however it went
	HookEmergency HookStage = "emergency" // after that, if not all is saved
)

// DefaultHookTimeout is how long a hook may take.
const DefaultHookTimeout = 60 * time.Second

const (
	// maxHookSeconds bounds Hooks.TimeoutSeconds: a capture is over within minutes.
	maxHookSeconds = 3600
	// maxHooks bounds the hooks of a stage.
	maxHooks = 8
	// maxHookConsole and maxHookOutput bound what is shown of what a hook prints, and kept of its end, in bytes.
	maxHookConsole = 64 << 10
	maxHookOutput  = 1000
	// hookPatience is how much longer than its limit a hook is waited for.
	hookPatience = 30 * time.Second
)

// Hooks are programs of the administrator that run before and after a capture and when it fails. None of
// them can cost the dump: each has a time limit, after which all that it has started is killed; the kernel
// takes memory from them first; and how they end is noted, and changes nothing.
type Hooks struct {
	// Pre, Post and Emergency are absolute paths of programs, which run one after the other.
	Pre       []string `json:"pre,omitempty"`
	Post      []string `json:"post,omitempty"`
	Emergency []string `json:"emergency,omitempty"`
	// TimeoutSeconds is how long each of them may take. Default: 60.
	TimeoutSeconds int `json:"timeout_seconds,omitempty"`
}

// Programs lists all of them, by stage.
func (h *Hooks) Programs() map[HookStage][]string {
	return map[HookStage][]string{HookPre: h.Pre, HookPost: h.Post, HookEmergency: h.Emergency}
}

func (h *Hooks) none() bool { return len(h.Pre)+len(h.Post)+len(h.Emergency) == 0 }

func (h *Hooks) timeout() time.Duration {
	if h.TimeoutSeconds == 0 {
		return DefaultHookTimeout
	}
	return time.Duration(h.TimeoutSeconds) * time.Second
}

func (h *Hooks) validate() error {
	for stage, programs := range h.Programs() {
		if len(programs) > maxHooks {
			return fmt.Errorf("hooks.%s has %d programs; want %d at most", stage, len(programs), maxHooks)
		}
		for _, name := range programs {
			if !path.IsAbs(name) || path.Clean(name) != name || strings.ContainsRune(name, 0) {
				return fmt.Errorf("hooks.%s: %q is not the absolute path of a program", stage, name)
			}
		}
	}
	if h.TimeoutSeconds < 0 || h.TimeoutSeconds > maxHookSeconds {
		return fmt.Errorf("hooks.timeout_seconds is %d; want 0 to %d", h.TimeoutSeconds, maxHookSeconds)
	}
	return nil
}

// HookResult is how a hook ended.
type HookResult struct {
	Stage   HookStage `json:"stage"`
	Program string    `json:"program"`
	Seconds float64   `json:"seconds"`
	// Error is empty for exit code 0.
	Error string `json:"error,omitempty"`
	// Output is the end of what it printed.
	Output string `json:"output,omitempty"`
}

// hookRunner runs the hooks of a capture.
type hookRunner struct {
	Hooks
	sys     Process
	say     func(format string, args ...any)
	source  string
	version string
}

// run runs the hooks of a stage. res is what is known of the capture; directory is where its files are now, if they
// are in one that is mounted.
func (h *hookRunner) run(stage HookStage, res *Result, directory string) []HookResult {
	var all []HookResult
	for _, program := range h.Programs()[stage] {
		h.say("%s hook %s", stage, program)
		out := &hookOutput{say: func(line string) { h.say("%s: %s", path.Base(program), line) }}
		begin := time.Now()
		child := Child{Path: program, Env: h.environment(stage, res, directory), Limit: h.timeout(), Output: out}
		// It keeps to its limit by itself, but for what the kernel holds up.
		_, err := within(context.Background(), child.Limit+hookPatience, "run it", func() (struct{}, error) { return struct{}{}, h.sys.RunChild(child) })
		result := HookResult{Stage: stage, Program: program, Seconds: seconds(begin), Output: printable(out.end())}
		if err != nil {
			result.Error = err.Error()
			h.say("%s hook %s: %v", stage, program, err)
		}
		all = append(all, result)
	}
	return all
}

// after runs the hooks that follow a capture.
func (h *hookRunner) after(res *Result, directory string) []HookResult {
	all := h.run(HookPost, res, directory)
	if !res.Saved() {
		all = append(all, h.run(HookEmergency, res, directory)...)
	}
	return all
}

// environment is all that a hook is told. What is not known is not there.
func (h *hookRunner) environment(stage HookStage, res *Result, directory string) []string {
	env := []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/", "TMPDIR=/tmp", "TERM=linux",
		"GOKEXEC_STAGE=" + string(stage), "GOKEXEC_VMCORE=" + h.source}
	set := func(name, value string) {
		if value != "" {
			env = append(env, "GOKEXEC_"+name+"="+value)
		}
	}
	set("VERSION", h.version)
	if res == nil {
		if stage != HookPre {
			set("OUTCOME", string(Failed))
		}
		return env
	}
	set("KERNEL_RELEASE", res.KernelRelease)
	if res.CrashTime != nil {
		set("CRASH_TIME", res.CrashTime.UTC().Format(time.RFC3339))
	}
	if stage == HookPre {
		return env
	}
	set("OUTCOME", string(res.Outcome))
	if res.Report != nil {
		set("TITLE", res.Report.Title)
		set("FINGERPRINT", res.Report.Fingerprint)
	}
	set("TARGET", res.Target)
	set("LOCATION", res.Location)
	set("DIRECTORY", directory)
	return env
}

// hookOutput shows what a hook prints line by line, within bounds, and keeps its end.
type hookOutput struct {
	say func(line string)

	mu    sync.Mutex // a hook that hangs may write later
	shown int
	line  []byte
	tail  []byte
}

func (o *hookOutput) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.tail = append(o.tail, p[max(0, len(p)-maxHookOutput):]...)
	o.tail = append([]byte(nil), o.tail[max(0, len(o.tail)-maxHookOutput):]...)
	for _, c := range p {
		if c == '\n' || len(o.line) == maxErrorBytes {
			o.show()
		}
		if c != '\n' {
			o.line = append(o.line, c)
		}
	}
	return len(p), nil
}

// end shows the last line, and returns the end of all.
func (o *hookOutput) end() []byte {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.show()
	return o.tail
}

// show shows the line.
func (o *hookOutput) show() {
	switch room := maxHookConsole - o.shown; {
	case len(o.line) == 0 || room < 0:
	case len(o.line) > room:
		o.say("more of its output is not shown")
	default:
		o.say(printable(o.line))
	}
	o.shown += len(o.line)
	o.line = o.line[:0]
}

// printable is what a terminal and a line of JSON can take.
func printable(b []byte) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' && r != '\n' && r != '\t' || r == 0x7f {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(string(b), "\ufffd"))
}
