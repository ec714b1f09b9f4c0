package report

import (
	"bytes"
	"fmt"
	"io"
	"iter"
	"strings"

	"github.com/gokexec/gokexec/pkg/object"
	"github.com/gokexec/gokexec/pkg/oops"
	"github.com/gokexec/gokexec/pkg/printk"
)

// How much of the log a report has, in lines: what came before the crash, its begin, and the end.
const (
	tailBefore = 30
	tailBegin  = 300
	tailEnd    = 100
	// maxLine bounds a line, in bytes.
	maxLine = 1024
)

// logFindings are what the log says.
type logFindings struct {
	crash *oops.Oops // nil: none is known
	// task is the one whose stack tells about the crash, if it is that of a task and the task is still there.
	task *object.Object

	oomCalls, oomKills int
	oomKilled          string
}

// cpu is the CPU that the log names, -1 if it names none.
func (f *logFindings) cpu() int {
	if f.crash == nil {
		return -1
	}
	return f.crash.CPU
}

// inTask reports whether the crash is about the task of a number.
func (f *logFindings) inTask(pid int) bool {
	return f.crash != nil && f.crash.PID == pid && f.crash.Kind.Where() == oops.InTask
}

// log finds the crash in the kernel log and fills in its end.
func (m *maker) log() error {
	log, err := printk.Read(m.dump)
	if err != nil {
		return err
	}
	var stats printk.Stats
	next, stop := iter.Pull(log.Records(&stats))
	text := &logText{next: next, m: m}
	crash, err := oops.Read(text)
	stop()
	first := text.lines - tailBefore - tailEnd
	if err == nil {
		m.findings.crash = crash
		first = crash.Line - tailBefore
	}
	m.tail(textLines(log), max(0, first))
	if stats.ReadErr != nil {
		return fmt.Errorf("not all of it: %w", stats.ReadErr)
	}
	return nil
}

// logText gives the log as text, and looks at it on the way.
type logText struct {
	next  func() (printk.Record, bool)
	m     *maker
	line  []byte
	rest  []byte
	lines int
}

// Read gives the text of the log.
func (t *logText) Read(b []byte) (int, error) {
	for len(t.rest) == 0 {
		r, ok := t.next()
		if !ok {
			return 0, io.EOF
		}
		t.line = printk.AppendText(t.line[:0], r)
		t.rest = t.line
		t.m.look(r)
		t.lines += bytes.Count(t.line, []byte{'\n'})
	}
	n := copy(b, t.rest)
	t.rest = t.rest[n:]
	return n, nil
}

// execFrom begins the line with which a kernel that was started by a kexec handover names the one before it
// (kernel/liveupdate/kexec_handover.c, Linux 7.0).
const execFrom = "exec from: "

// look notes what else a line of the log tells.
func (m *maker) look(r printk.Record) {
	if r.HasTime {
		m.report.Kernel.Uptime = max(m.report.Kernel.Uptime, min(r.Time, 1<<62))
	}
	if len(r.Text) > maxLine {
		return
	}
	text := string(r.Text)
	if _, from, ok := strings.Cut(text, execFrom); ok && m.report.ExecFrom == "" && strings.HasPrefix(text, "KHO: ") {
		m.report.ExecFrom, _, _ = strings.Cut(printable(from), " ")
	}
	// init/main.c; where the memory tells it, that counts.
	if _, line, ok := strings.Cut(text, "Kernel command line: "); ok && m.report.Kernel.Cmdline == "" {
		m.report.Kernel.Cmdline = line
	}
	// mm/oom_kill.c: dump_header, __oom_kill_process
	if strings.Contains(text, " invoked oom-killer: ") {
		m.findings.oomCalls++
	}
	if _, who, ok := strings.Cut(text, ": Killed process "); ok {
		m.findings.oomKills++
		who, _, _ = strings.Cut(who, ",")
		m.findings.oomKilled = printable(strings.SplitAfterN(who, ")", 2)[0])
	}
}

// tail fills in the lines of a log from one on.
func (m *maker) tail(log iter.Seq[string], first int) {
	var end [tailEnd]string
	n := 0
	for line := range log {
		line = line[:min(len(line), maxLine)]
		switch i := n - first; {
		case i < 0:
		case i < tailBefore+tailBegin:
			m.report.LogTail = append(m.report.LogTail, line)
		default:
			end[i%tailEnd] = line
		}
		n++
	}
	last := n - first - (tailBefore + tailBegin) // lines beyond the begin
	if last <= 0 {
		return
	}
	if last > tailEnd {
		m.report.LogTail = append(m.report.LogTail, fmt.Sprintf("[... %d lines ...]", last-tailEnd))
	}
	for i := max(n-first-tailEnd, tailBefore+tailBegin); i < n-first; i++ {
		m.report.LogTail = append(m.report.LogTail, end[i%tailEnd])
	}
}

// textLines gives the lines of a log.
func textLines(log *printk.Log) iter.Seq[string] {
	return func(yield func(string) bool) {
		var text []byte
		for r := range log.Records(new(printk.Stats)) {
			text = printk.AppendText(text[:0], r)
			for line := range strings.Lines(string(text)) {
				if !yield(strings.TrimSuffix(line, "\n")) {
					return
				}
			}
		}
	}
}
