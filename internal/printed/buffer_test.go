package printed

import (
	"io"
	"testing"
)

func TestBuffer(t *testing.T) {
	b := &Buffer{Limit: 5}
	for _, tt := range []struct {
		write, want string
		whole       bool
	}{{"", "", true}, {"abc", "abc", true}, {"de", "abcde", true}, {"f", "abcde", false}, {"", "abcde", false}} {
		if n, err := io.WriteString(b, tt.write); n != len(tt.write) || err != nil {
			t.Errorf("Write(%q) = %d, %v", tt.write, n, err)
		}
		data, whole := b.Contents()
		if string(data) != tt.want || whole != tt.whole || b.String() != tt.want {
			t.Errorf("after %q: %q, %v; want %q, %v", tt.write, data, whole, tt.want, tt.whole)
		}
	}
	kept := b.Bytes()
	b.Reset()
	if _, err := b.Write([]byte("ABCDEFG")); err != nil || b.String() != "ABCDE" || string(kept) != "abcde" {
		t.Errorf("after Reset: %q, %v; %q was read before", b, err, kept)
	}
}
