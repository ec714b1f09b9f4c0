package report

import (
	"bufio"
	"cmp"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"unicode/utf8"
)

// textWidth is how wide the text is, in columns, as far as what it quotes allows.
const textWidth = 80

// factIndent is where the values of the summary begin.
const factIndent = 14

// barWidth is the width of the bar of a part of the memory, in columns.
const barWidth = 30

// WriteText writes the report for people, 80 columns wide as far as names and the log allow. Nothing that the dump
// contains can control a terminal: what can't be printed is replaced by U+FFFD. The error is that of w.
func (r *Report) WriteText(w io.Writer) error {
	t := &textWriter{bufio.NewWriter(w)}
	t.line("%s", r.headline())
	t.line("")
	for _, f := range r.facts() {
		t.fact(f)
	}
	if c := r.Crashed; c != nil {
		t.head("Stack of CPU %d%s", c.Number, after(": ", c.Task.text()))
		t.stack(c.Stack, "  ")
	}
	t.others(r)
	t.blocked(r)
	t.memory(r.Memory)
	t.hardware(r.HardwareErrors)
	t.modules(r.Modules)
	t.log(r)
	t.missing(r.Missing)
	return t.Flush()
}

type textWriter struct{ *bufio.Writer }

func (t *textWriter) line(format string, args ...any) { fmt.Fprintf(t, format+"\n", args...) }

func (t *textWriter) head(format string, args ...any) {
	t.line("")
	t.line(format, args...)
}

// fact writes a line of the summary, and more where its value is long.
func (t *textWriter) fact(f fact) {
	t.words(f.value, fmt.Sprintf("%-*s", factIndent, f.name), strings.Repeat(" ", factIndent))
}

// wrapped writes a sentence as an item of a list.
func (t *textWriter) wrapped(sentence string) { t.words(sentence, "  ", "    ") }

// words writes the words of a text, with what is before the first one and before each further line.
func (t *textWriter) words(text, first, further string) {
	at := 0
	for word := range strings.FieldsSeq(text) {
		n := utf8.RuneCountInString(word)
		switch {
		case at == 0:
			t.WriteString(first)
			at = len(first)
		case at+1+n > textWidth:
			t.WriteString("\n" + further)
			at = len(further)
		default:
			t.WriteByte(' ')
			at++
		}
		t.WriteString(word)
		at += n
	}
	t.WriteByte('\n')
}

func (t *textWriter) stack(s *Stack, indent string) {
	if s == nil {
		t.line("%s(not known)", indent)
		return
	}
	for _, l := range s.lines() {
		if l.note {
			t.line("%s-- %s", indent, l.text)
		} else {
			t.line("%s%s", indent, l.text)
		}
	}
}

func (t *textWriter) others(r *Report) {
	busy, idle := r.cpus()
	if len(busy) == 0 && idle == "" {
		return
	}
	t.head("Other CPUs")
	for _, c := range busy {
		t.line("  CPU %d: %s", c.Number, cmp.Or(c.Task.text(), "its task is not known"))
		if c.Stack != nil {
			t.stack(c.Stack, "    ")
		}
	}
	if idle != "" {
		t.wrapped("idle: CPU " + idle)
	}
}

func (t *textWriter) blocked(r *Report) {
	if len(r.Blocked) == 0 {
		if r.TaskCount > 0 {
			t.head("Blocked tasks: none of %d", r.TaskCount)
		}
		return
	}
	t.head("%s", r.blockedTitle())
	for _, g := range r.groups() {
		for _, task := range g.tasks {
			t.wrapped(task.text() + after(": ", task.waiting()))
		}
		if g.stack != nil {
			t.stack(g.stack, "    ")
		}
	}
}

func (t *textWriter) memory(m *Memory) {
	if m == nil {
		return
	}
	t.head("Memory: %s", sizeText(m.Total))
	for _, h := range m.Hints {
		t.wrapped("! " + clean(h))
	}
	for _, s := range m.shares() {
		p := percent(s.bytes, m.Total)
		l := fmt.Sprintf("  %-14s%9s %5.1f %%  %s", s.name, sizeText(s.bytes), p, strings.Repeat("#", int(p/100*barWidth+0.5)))
		t.line("%s", strings.TrimRight(l, " "))
	}
	if m.Shared > 0 {
		t.line("  (of the files, %s are tmpfs and shared memory)", sizeText(m.Shared))
	}
	if swap := m.swapText(); swap != "" {
		t.line("  %s", swap)
	}
	t.table("Largest slabs", "cache\tsize\tobject", len(m.Slabs), func(i int) string {
		s := &m.Slabs[i]
		return fmt.Sprintf("%s\t%s\t%d bytes", clean(s.Name), sizeText(s.Size), s.ObjectSize)
	})
	t.table("Largest processes", "process\tpid\tresident\tswapped", len(m.Processes), func(i int) string {
		p := &m.Processes[i]
		return fmt.Sprintf("%s\t%d\t%s\t%s", clean(p.Name), p.PID, sizeText(p.Resident), sizeText(p.Swapped))
	})
}

// table writes rows whose cells are parted by tabs; nothing if there are none.
func (t *textWriter) table(title, columns string, rows int, row func(int) string) {
	if rows == 0 {
		return
	}
	t.head("%s", title)
	tw := tabwriter.NewWriter(t, 0, 0, 2, ' ', 0)
	fmt.Fprintf(tw, "  %s\n", columns)
	for i := range rows {
		fmt.Fprintf(tw, "  %s\n", row(i))
	}
	_ = tw.Flush() // the error stays in the bufio.Writer
}

func (t *textWriter) hardware(errors []HardwareError) {
	t.table("Recoverable hardware errors", "kind\tcount\tlast", len(errors), func(i int) string {
		e := &errors[i]
		return fmt.Sprintf("%s\t%d\t%s", clean(e.Kind), e.Count, timeText(e.Last))
	})
}

// modules lists those that have something to say with their flags first, then the others by name.
func (t *textWriter) modules(modules []Module) {
	if len(modules) == 0 {
		return
	}
	t.head("Modules: %d", len(modules))
	marked, plain := markedModules(modules)
	for _, m := range marked {
		t.line("  %s", m.text())
	}
	if len(plain) > 0 {
		var names []string
		for _, m := range plain {
			names = append(names, clean(m.Name))
		}
		t.wrapped(strings.Join(names, " "))
	}
}

func (t *textWriter) log(r *Report) {
	if len(r.LogTail) == 0 {
		return
	}
	t.head("End of the kernel log")
	for _, l := range r.LogTail {
		mark := "  "
		if r.aboutCrash(l) {
			mark = "> "
		}
		t.line("%s%s", mark, clean(l))
	}
}

func (t *textWriter) missing(missing []Missing) {
	if len(missing) == 0 {
		return
	}
	t.head("Not in this report")
	for _, m := range missing {
		t.wrapped(clean(m.Part) + after(": ", clean(m.Reason)))
	}
}

// after is s with something before it, or nothing.
func after(before, s string) string {
	if s == "" {
		return ""
	}
	return before + s
}
