package remote

import (
	"bytes"
	"strings"
	"sync"
)

// maxMessage bounds a line that Messages keeps, in bytes.
const maxMessage = 4096

// Messages reads what gokexec-remote prints on standard error: lines, of which the last one says why it failed, and may
// have a line "hint: ..." after it.
type Messages struct {
	// Say gets the lines before the last one, without the program's name; nil: nobody does.
	Say func(line string)

	mu         sync.Mutex // a program that hangs may write later
	line       []byte
	last, hint string
}

// Write takes everything.
func (m *Messages) Write(p []byte) (int, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for rest := p; len(rest) > 0; {
		text, after, ended := bytes.Cut(rest, []byte("\n"))
		m.line = append(m.line, text[:min(len(text), maxMessage-len(m.line))]...)
		if ended {
			m.take()
		}
		rest = after
	}
	return len(p), nil
}

// take takes the line, which has ended.
func (m *Messages) take() {
	line := strings.TrimSpace(string(m.line))
	m.line = m.line[:0]
	if hint, ok := strings.CutPrefix(line, "hint: "); ok {
		m.hint = hint
	} else if line != "" {
		m.flush()
		m.last = strings.TrimPrefix(line, ProgramName+": ")
	}
}

func (m *Messages) flush() {
	if m.last != "" && m.Say != nil {
		m.Say(m.last)
	}
	m.last, m.hint = "", ""
}

// Last is the last message, and its hint; "" for none.
func (m *Messages) Last() (message, hint string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.take()
	return m.last, m.hint
}

// Flush has the last message said like those before it: it is no error.
func (m *Messages) Flush() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.take()
	m.flush()
}
