package report

import (
	"bufio"
	"cmp"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// WriteHTML writes the report as one page that needs nothing else: no network, no script, no font. Stacks fold, memory
// is a picture, and its colours follow the reader's (prefers-color-scheme). All that comes from the dump is escaped,
// and a policy in the page forbids a browser to load or run anything. The error is that of w.
func (r *Report) WriteHTML(w io.Writer) error {
	h := &htmlWriter{bufio.NewWriter(w)}
	h.raw("<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n",
		"<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'\">\n",
		"<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<meta name=\"color-scheme\" content=\"light dark\">\n",
		"<meta name=\"referrer\" content=\"no-referrer\">\n<title>")
	h.text(r.headline())
	h.raw("</title>\n<style>\n", style, "</style>\n</head>\n<body>\n")
	h.header(r)
	h.crashed(r.Crashed)
	h.others(r)
	h.blocked(r)
	h.memory(r.Memory)
	h.hardware(r.HardwareErrors)
	h.modules(r.Modules)
	h.log(r)
	h.missing(r.Missing)
	h.raw("<footer>Made by gokexec report from the dump alone.</footer>\n</body>\n</html>\n")
	return h.w.Flush()
}

// htmlWriter writes HTML. What is not a constant goes through text.
type htmlWriter struct{ w *bufio.Writer }

// raw writes markup. It gets constants and numbers only.
func (h *htmlWriter) raw(parts ...string) {
	for _, p := range parts {
		h.w.WriteString(p)
	}
}

// text writes a value, escaped for contents and for attributes in double quotes.
func (h *htmlWriter) text(s string) {
	for _, r := range clean(s) {
		switch r {
		case '<':
			h.w.WriteString("&lt;")
		case '>':
			h.w.WriteString("&gt;")
		case '&':
			h.w.WriteString("&amp;")
		case '"':
			h.w.WriteString("&quot;")
		case '\'':
			h.w.WriteString("&#39;")
		default:
			h.w.WriteRune(r)
		}
	}
}

// element writes a value in an element that raw would begin as <tag> and end as </name>.
func (h *htmlWriter) element(tag, value string) {
	name, _, _ := strings.Cut(tag, " ")
	h.raw("<", tag, ">")
	h.text(value)
	h.raw("</", name, ">")
}

func (h *htmlWriter) header(r *Report) {
	h.raw("<header>\n")
	h.element("h1", r.headline())
	h.raw("\n<dl>\n")
	for _, f := range r.facts() {
		h.element("dt", f.name)
		h.element("dd", f.value)
		h.raw("\n")
	}
	h.raw("</dl>\n</header>\n")
}

// section begins a section; the caller ends it by end.
func (h *htmlWriter) section(title string) {
	h.raw("<section>\n")
	h.element("h2", title)
	h.raw("\n")
}

func (h *htmlWriter) end() { h.raw("</section>\n") }

// fold begins what unfolds below a summary; the caller ends it by unfolded.
func (h *htmlWriter) fold(summary, note string, open bool) {
	h.raw("<details")
	if open {
		h.raw(" open")
	}
	h.raw("><summary>")
	h.text(summary)
	if note != "" {
		h.raw(" ")
		h.element("span class=\"note\"", note)
	}
	h.raw("</summary>\n")
}

func (h *htmlWriter) unfolded() { h.raw("</details>\n") }

func (h *htmlWriter) crashed(c *CPU) {
	if c == nil {
		return
	}
	h.section("Stack of CPU " + strconv.Itoa(c.Number) + after(": ", c.Task.text()))
	h.stack(c.Stack)
	h.end()
}

func (h *htmlWriter) stack(s *Stack) {
	if s == nil {
		h.raw("<p class=\"note\">Not known.</p>\n")
		return
	}
	h.raw("<ol class=\"stack\">\n")
	for _, l := range s.lines() {
		if l.note {
			h.element("li class=\"note\"", l.text)
		} else {
			h.raw("<li>")
			name, rest, _ := strings.Cut(l.text, "+")
			h.element("b", name)
			if rest != "" {
				h.text("+" + rest)
			}
			h.raw("</li>")
		}
		h.raw("\n")
	}
	h.raw("</ol>\n")
}

func (h *htmlWriter) others(r *Report) {
	busy, idle := r.cpus()
	if len(busy) == 0 && idle == "" {
		return
	}
	h.section("Other CPUs")
	for _, c := range busy {
		h.fold("CPU "+strconv.Itoa(c.Number)+": "+cmp.Or(c.Task.text(), "its task is not known"), frameCount(c.Stack), false)
		h.stack(c.Stack)
		h.unfolded()
	}
	if idle != "" {
		h.element("p class=\"note\"", "Idle: CPU "+idle)
		h.raw("\n")
	}
	h.end()
}

func (h *htmlWriter) blocked(r *Report) {
	switch {
	case len(r.Blocked) == 0 && r.TaskCount == 0:
		return
	case len(r.Blocked) == 0:
		h.section("Blocked tasks")
		h.element("p class=\"note\"", "None of "+strconv.Itoa(r.TaskCount)+".")
		h.raw("\n")
		h.end()
		return
	}
	h.section(r.blockedTitle())
	for i, g := range r.groups() {
		// The first one has waited longest.
		h.fold(g.tasks[0].text()+after(" and ", count(len(g.tasks)-1, "other")), g.tasks[0].waiting(), i == 0)
		if len(g.tasks) > 1 {
			h.raw("<ul>\n")
			for _, t := range g.tasks {
				h.raw("<li>")
				h.text(t.text())
				h.raw(" ")
				h.element("span class=\"note\"", t.waiting())
				h.raw("</li>\n")
			}
			h.raw("</ul>\n")
		}
		h.stack(g.stack)
		h.unfolded()
	}
	h.end()
}

// frameCount says how long a stack is.
func frameCount(s *Stack) string {
	if s == nil {
		return ""
	}
	return count(len(s.Frames), "frame")
}

func (h *htmlWriter) modules(modules []Module) {
	if len(modules) == 0 {
		return
	}
	h.section("Modules: " + strconv.Itoa(len(modules)))
	marked, plain := markedModules(modules)
	if len(marked) > 0 {
		h.raw("<ul>\n")
		for _, m := range marked {
			h.element("li", m.text())
			h.raw("\n")
		}
		h.raw("</ul>\n")
	}
	if len(plain) > 0 {
		h.fold("without flags: "+strconv.Itoa(len(plain)), "", false)
		h.raw("<p class=\"names\">")
		for _, m := range plain {
			h.text(m.Name)
			h.raw(" ")
		}
		h.raw("</p>\n")
		h.unfolded()
	}
	h.end()
}

func (h *htmlWriter) log(r *Report) {
	if len(r.LogTail) == 0 {
		return
	}
	h.section("End of the kernel log")
	h.raw("<pre>")
	for _, l := range r.LogTail {
		if r.aboutCrash(l) {
			h.element("mark", l)
		} else {
			h.text(l)
		}
		h.raw("\n")
	}
	h.raw("</pre>\n")
	h.end()
}

func (h *htmlWriter) missing(missing []Missing) {
	if len(missing) == 0 {
		return
	}
	h.section("Not in this report")
	h.raw("<ul>\n")
	for _, m := range missing {
		h.raw("<li>")
		h.text(m.Part)
		h.text(after(": ", m.Reason))
		h.raw("</li>\n")
	}
	h.raw("</ul>\n")
	h.end()
}

func (h *htmlWriter) hardware(errors []HardwareError) {
	if len(errors) == 0 {
		return
	}
	h.section("Recoverable hardware errors")
	h.raw("<table>\n")
	h.row("th", "kind", "count", "last")
	for _, e := range errors {
		h.row("td", e.Kind, strconv.FormatUint(e.Count, 10), timeText(e.Last))
	}
	h.raw("</table>\n")
	h.end()
}

// row writes a row of a table; its cells but the first are aligned to the right.
func (h *htmlWriter) row(tag string, cells ...string) {
	h.raw("<tr>")
	for i, c := range cells {
		if i > 0 {
			h.element(tag+" class=\"number\"", c)
		} else {
			h.element(tag, c)
		}
	}
	h.raw("</tr>\n")
}

// percentText is a percentage for a style, in any locale.
func percentText(p float64) string { return fmt.Sprintf("%.2f%%", p) }
