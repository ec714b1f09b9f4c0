package sysfs

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"testing"
	"testing/fstest"
)

func TestRead(t *testing.T) {
	root := fstest.MapFS{
		"sys/number": {Data: []byte("0012\n")}, "sys/bare": {Data: []byte("ff")}, "sys/lines": {Data: []byte("a\n\n")}, "sys/empty": {},
		"sys/large": {Data: make([]byte, maxText+1)}, "sys/most": {Data: make([]byte, maxText)}, "sys/two": {Data: []byte("1 2\n")},
	}
	for _, tt := range []struct {
		name       string
		base, bits int
		want       uint64
		err        string
	}{
		{"sys/number", 10, 32, 12, ""}, {"sys/bare", 16, 8, 255, ""},
		{"sys/bare", 16, 7, 0, `/sys/bare: "ff" is not a number of base 16 and up to 7 bits`},
		{"sys/two", 10, 64, 0, `/sys/two: "1 2" is not a number`}, {"sys/empty", 10, 64, 0, `/sys/empty: "" is not`},
		{"sys/none", 10, 64, 0, "open /sys/none: "}, {"sys/large", 10, 64, 0, "/sys/large: larger than 65536 bytes"},
	} {
		got, err := ReadUint(root, tt.name, tt.base, tt.bits)
		if got != tt.want || (err == nil) != (tt.err == "") || err != nil && !strings.Contains(err.Error(), tt.err) {
			t.Errorf("ReadUint(%s, %d, %d) = %d, %v; want %d, %q", tt.name, tt.base, tt.bits, got, err, tt.want, tt.err)
		}
	}
	if got, err := ReadString(root, "sys/lines"); got != "a\n" || err != nil {
		t.Errorf("ReadString = %q, %v; want all but the last newline", got, err)
	}
	if got, err := ReadString(root, "sys/most"); len(got) != maxText || err != nil {
		t.Errorf("ReadString at its limit = %d bytes, %v", len(got), err)
	}
	if _, err := ReadString(root, "sys"); err == nil {
		t.Error("ReadString of a directory: no error")
	}
}

func TestReadKiB(t *testing.T) {
	tests := []struct {
		content string
		want    int64
		ok      bool
	}{
		{"MemTotal: 5 kB\nMemAvailable:   123 kB\n", 123 << 10, true},
		{"MemAvailable: 0 kB", 0, true},
		{"MemAvailableX: 1 kB\n", 0, false},
		{"MemAvailable: x kB\n", 0, false},
		{"MemAvailable: -1 kB\n", 0, false},
		{"MemAvailable: 1 MB\n", 0, false},
		{"MemAvailable: 99999999999999999999 kB\n", 0, false},
		{"", 0, false},
	}
	for _, tt := range tests {
		root := fstest.MapFS{"proc/meminfo": {Data: []byte(tt.content)}}
		got, err := ReadKiB(root, "proc/meminfo", "MemAvailable")
		if got != tt.want || (err == nil) != tt.ok {
			t.Errorf("ReadKiB(%q) = %d, %v; want %d, ok %v", tt.content, got, err, tt.want, tt.ok)
		}
	}
}

func TestRooted(t *testing.T) {
	inner := &fs.PathError{Op: "open", Path: "sys/x", Err: fs.ErrNotExist}
	for _, err := range []error{inner, fmt.Errorf("read: %w", inner)} {
		if got := Rooted(err); got.Error() != "open /sys/x: file does not exist" || !errors.Is(got, fs.ErrNotExist) {
			t.Errorf("Rooted(%v) = %v", err, got)
		}
	}
	for _, err := range []error{nil, fs.ErrClosed, &fs.PathError{Op: "open", Path: "/x", Err: fs.ErrClosed}} {
		if got := Rooted(err); got != err {
			t.Errorf("Rooted(%v) = %v; want it as it is", err, got)
		}
	}
}
