package vmlab

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
)

// monitor is QEMU's machine protocol (docs/interop/qmp-spec.rst).
type monitor struct {
	conn    io.ReadWriteCloser
	encoder *json.Encoder

	mu      sync.Mutex
	next    int
	waiting map[int]chan qmpMessage
	events  []Event
	closed  error

	ended chan struct{} // QEMU has closed its end
}

// Event is something QEMU reported.
type Event struct {
	Name string          `json:"event"` // like "SHUTDOWN"
	Data json.RawMessage `json:"data"`
}

type qmpMessage struct {
	Event
	ID     int             `json:"id"`
	Return json.RawMessage `json:"return"`
	Error  *struct {
		Class string `json:"class"`
		Desc  string `json:"desc"`
	} `json:"error"`
}

type qmpCommand struct {
	Execute   string `json:"execute"`
	Arguments any    `json:"arguments,omitempty"`
	ID        int    `json:"id"`
}

var errMonitorClosed = errors.New("QEMU's monitor is closed")

func newMonitor(conn io.ReadWriteCloser) *monitor {
	m := &monitor{conn: conn, encoder: json.NewEncoder(conn), waiting: map[int]chan qmpMessage{}, ended: make(chan struct{})}
	go m.read()
	return m
}

func (m *monitor) read() {
	defer close(m.ended)
	decoder := json.NewDecoder(bufio.NewReader(m.conn))
	for {
		var message qmpMessage
		if err := decoder.Decode(&message); err != nil {
			m.mu.Lock()
			m.closed = errMonitorClosed
			for id, answer := range m.waiting {
				delete(m.waiting, id)
				close(answer)
			}
			m.mu.Unlock()
			return
		}
		m.mu.Lock()
		if message.Name != "" {
			m.events = append(m.events, message.Event)
		} else if answer, ok := m.waiting[message.ID]; ok {
			delete(m.waiting, message.ID)
			answer <- message
		}
		m.mu.Unlock()
	}
}

// execute runs one command.
func (m *monitor) execute(ctx context.Context, command string, arguments any) (json.RawMessage, error) {
	m.mu.Lock()
	if m.closed != nil {
		m.mu.Unlock()
		return nil, fmt.Errorf("%s: %w", command, m.closed)
	}
	m.next++
	id, answer := m.next, make(chan qmpMessage, 1)
	m.waiting[id] = answer
	err := m.encoder.Encode(qmpCommand{command, arguments, id})
	if err != nil {
		delete(m.waiting, id)
	}
	m.mu.Unlock()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", command, err)
	}
	select {
	case message, ok := <-answer:
		switch {
		case !ok:
			return nil, fmt.Errorf("%s: %w", command, errMonitorClosed)
		case message.Error != nil:
			return nil, fmt.Errorf("%s: %s: %s", command, message.Error.Class, message.Error.Desc)
		}
		return message.Return, nil
	case <-ctx.Done():
		m.mu.Lock()
		delete(m.waiting, id)
		m.mu.Unlock()
		return nil, fmt.Errorf("%s: %w", command, context.Cause(ctx))
	}
}

// human runs a command of the human monitor, which reports errors as text.
func (m *monitor) human(ctx context.Context, line string) (string, error) {
	result, err := m.execute(ctx, "human-monitor-command", map[string]string{"command-line": line})
	if err != nil {
		return "", fmt.Errorf("%q: %w", line, err)
	}
	var text string
	if err := json.Unmarshal(result, &text); err != nil {
		return "", fmt.Errorf("%q: %w", line, err)
	}
	if said, failed := strings.CutPrefix(strings.TrimSpace(text), "Error: "); failed {
		return "", fmt.Errorf("%q: %s", line, said)
	}
	return text, nil
}

// happened lists the events so far.
func (m *monitor) happened() []Event {
	m.mu.Lock()
	defer m.mu.Unlock()
	return append([]Event(nil), m.events...)
}

// shutdownReason is why QEMU says that the guest ended.
func (m *monitor) shutdownReason() string {
	reason := ""
	for _, event := range m.happened() {
		var data struct {
			Reason string `json:"reason"`
		}
		if event.Name == "SHUTDOWN" && json.Unmarshal(event.Data, &data) == nil {
			reason = data.Reason
		}
	}
	return reason
}
