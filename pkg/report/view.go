package report

import (
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// What both forms for people, text and page, make of a report.

// clean is text of a dump that any terminal, page and person can take: in one line, without control characters,
// changes of direction and bytes that are no UTF-8.
func clean(s string) string {
	plain := true
	for i := 0; i < len(s) && plain; i++ {
		plain = s[i] >= ' ' && s[i] < 0x7f
	}
	if plain {
		return s
	}
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\t':
			return ' '
		case r == utf8.RuneError || !strconv.IsPrint(r):
			return '\ufffd'
		}
		return r
	}, s)
}

// headline is the first line of a report.
func (r *Report) headline() string {
	switch {
	case r.Title != "":
		return clean(r.Title)
	case r.Message != "":
		return clean(r.Message)
	case r.Kernel.Release != "":
		return "Crash of kernel " + clean(r.Kernel.Release)
	}
	return "Crash of an unknown kernel"
}

// fact is a line of the summary.
type fact struct{ name, value string }

// facts are the summary, without what is not known.
func (r *Report) facts() []fact {
	k := &r.Kernel
	var all []fact
	add := func(name, value string) {
		if value != "" {
			all = append(all, fact{name, clean(value)})
		}
	}
	if r.Message != r.Title {
		add("message", r.Message)
	}
	add("kind", r.Kind)
	add("fingerprint", r.Fingerprint)
	add("where", r.where())
	add("when", r.when())
	add("kernel", joined(", ", k.Release, k.Machine))
	add("version", k.Version)
	add("build ID", k.BuildID)
	add("machine", joined(", ", k.Hardware, count(k.CPUs, "CPU")))
	if k.Taint != "" {
		add("taint", taintText(k.Taint))
	}
	if r.ExecFrom != "" {
		add("started by", "kexec from kernel "+r.ExecFrom)
	}
	add("command line", k.Cmdline)
	return all
}

// where names the CPU and the task that crashed.
func (r *Report) where() string {
	if r.Crashed == nil {
		return ""
	}
	return joined(", ", fmt.Sprintf("CPU %d", r.Crashed.Number), r.Crashed.Task.text())
}

func (r *Report) when() string {
	var parts []string
	if t := r.Kernel.CrashTime; t != nil {
		parts = append(parts, timeText(*t))
	}
	if r.Kernel.Uptime > 0 {
		parts = append(parts, durationText(r.Kernel.Uptime)+" after boot")
	}
	return strings.Join(parts, ", ")
}

// text names a task: "insmod (pid 123)", a thread "worker (pid 123, of process 100)".
func (t *Task) text() string {
	switch {
	case t == nil:
		return ""
	case t.TGID != t.PID && t.TGID != 0:
		return fmt.Sprintf("%s (pid %d, of process %d)", clean(t.Name), t.PID, t.TGID)
	}
	return fmt.Sprintf("%s (pid %d)", clean(t.Name), t.PID)
}

// text names a lock with who has it.
func (l *Lock) text() string {
	name := clean(l.Symbol)
	if name == "" {
		name = addressText(l.Address)
	}
	s := clean(l.Kind) + " " + name
	switch {
	case l.HolderPID != 0 || l.HolderName != "":
		s += fmt.Sprintf(", held by %s (pid %d)", clean(l.HolderName), l.HolderPID)
		if l.HolderGone {
			s += ", which has exited"
		}
	case l.HolderGone:
		s += ", held by a task that has exited"
	}
	return s
}

// waiting says how a blocked task waits: "122 s, for mutex fs_lock, held by foo (pid 9)".
func (t *Task) waiting() string {
	var parts []string
	if t.Off > 0 {
		parts = append(parts, "for "+durationText(t.Off))
	}
	if t.WaitsFor != nil {
		parts = append(parts, "waits for "+t.WaitsFor.text())
	}
	return strings.Join(parts, ", ")
}

// text is a frame as the kernel prints it.
func (f *Frame) text() string {
	s := addressText(f.Address)
	if f.Symbol != "" {
		s = fmt.Sprintf("%s+%#x/%#x", clean(f.Symbol), f.Offset, f.Size)
	}
	if f.Module != "" {
		s += " [" + clean(f.Module) + "]"
	}
	return s
}

func addressText(a Address) string { return fmt.Sprintf("%#016x", uint64(a)) }

// markedModules parts the modules in those with flags or on their way in or out, and the others.
func markedModules(modules []Module) (marked, plain []*Module) {
	for i := range modules {
		if m := &modules[i]; m.Taint != "" || m.State != "" && m.State != "live" {
			marked = append(marked, m)
		} else {
			plain = append(plain, m)
		}
	}
	return marked, plain
}

// text names a module with its flags: "boom 1.0, OE (out-of-tree module, unsigned module), coming".
func (m *Module) text() string {
	state := m.State
	if state == "live" {
		state = ""
	}
	return joined(", ", joined(" ", clean(m.Name), clean(m.Version)), taintText(clean(m.Taint)), clean(state))
}

func timeText(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.DateTime + " UTC")
}

// durationText is a duration in its two largest units.
func durationText(d time.Duration) string {
	switch {
	case d < time.Second:
		return fmt.Sprintf("%d ms", d.Milliseconds())
	case d < 10*time.Second:
		return fmt.Sprintf("%.1f s", d.Seconds())
	case d < 10*time.Minute:
		return fmt.Sprintf("%d s", int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%d min", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%d h %d min", int(d.Hours()), int(d.Minutes())%60)
	}
	return fmt.Sprintf("%d days %d h", int(d.Hours())/24, int(d.Hours())%24)
}

func count(n int, noun string) string {
	switch n {
	case 0:
		return ""
	case 1:
		return "1 " + noun
	}
	return strconv.Itoa(n) + " " + noun + "s"
}

// joined joins what is not empty.
func joined(by string, parts ...string) string {
	var given []string
	for _, p := range parts {
		if p != "" {
			given = append(given, p)
		}
	}
	return strings.Join(given, by)
}

// aboutCrash reports whether a line of the log is the one that the report is about, or the panic.
func (r *Report) aboutCrash(l string) bool {
	return r.Message != "" && strings.Contains(l, r.Message) || strings.Contains(l, "Kernel panic - not syncing")
}
