package remote

import (
	"io"
	"slices"
	"strings"
	"testing"
)

func TestMessages(t *testing.T) {
	long := strings.Repeat("x", maxMessage+1)
	for _, tt := range []struct {
		name, message, hint string
		written, said       []string
	}{
		{name: "nothing"},
		{"one line", "no room", "", []string{"gokexec-remote: no room\n"}, nil},
		{"without its end", "no room", "", []string{"no ", "room"}, nil},
		{"a hint", "no room", "make some", []string{"gokexec-remote: no room\nhint: make", " some\n"}, nil},
		{"some", "no room", "make some", []string{"once\nhint: wait\n\ntwice\n", "no room\nhint: make some"}, []string{"once", "twice"}},
		{"a long one", long[1:], "", []string{long, "\n"}, nil},
	} {
		var said []string
		m := &Messages{Say: func(line string) { said = append(said, line) }}
		for _, s := range tt.written {
			if n, err := io.WriteString(m, s); n != len(s) || err != nil {
				t.Errorf("%s: Write = %d, %v", tt.name, n, err)
			}
		}
		if message, hint := m.Last(); message != tt.message || hint != tt.hint || !slices.Equal(said, tt.said) {
			t.Errorf("%s: %q, %q, before it %q; want %q, %q, %q", tt.name, message, hint, said, tt.message, tt.hint, tt.said)
		}
		if m.Flush(); tt.message != "" && said[len(said)-1] != tt.message {
			t.Errorf("%s: Flush: %q", tt.name, said)
		}
	}
}
