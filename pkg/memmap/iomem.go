package memmap

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"time"

	"github.com/gokexec/gokexec/internal/sysfs"
)

const (
	// maxIomemSize bounds what is read of /proc/iomem, in bytes. A machine
	// with 32768 memory ranges prints less than 2 MiB.
	maxIomemSize = 16 << 20

	// maxDepth bounds the nesting. The kernel's own bound, MAX_IORES_LEVEL in
	// kernel/resource.c, was 5 and is 8.
	maxDepth = 64
)

const iomemPath = "proc/iomem"

// Errors of ReadIomem.
var (
	// ErrAddressesHidden means that every address in /proc/iomem is zero.
	ErrAddressesHidden = errors.New("all addresses are zero: the kernel shows them only to a process with CAP_SYS_ADMIN in the initial user namespace")

	// ErrChanging means that /proc/iomem was different each time it was read.
	ErrChanging = errors.New("changed with every read")
)

// ReadIomem reads /proc/iomem, and the crash memory in the device tree. The kernel
// releases its lock while it prints (kernel/resource.c, r_start and r_stop), so a read
// during memory hotplug may miss a resource or have one twice: it is read until two reads
// agree. The error wraps ErrAddressesHidden if every address is zero, and ErrChanging if the
// reads never agreed.
func ReadIomem(root fs.FS) (*Iomem, error) {
	text, err := readStable(root, iomemPath)
	if err != nil {
		return nil, err
	}
	return iomemOf(root, text)
}

// RereadIomem is ReadIomem for who has read it before: while it is as it was then, one more
// read is enough, since that is the second one that agrees. last may be nil.
func RereadIomem(root fs.FS, last *Iomem) (*Iomem, error) {
	if last == nil || last.text == nil {
		return ReadIomem(root)
	}
	text, err := sysfs.ReadFile(root, iomemPath, maxIomemSize)
	if err != nil {
		return nil, err
	}
	if !bytes.Equal(text, last.text) {
		return ReadIomem(root)
	}
	return last, nil
}

// iomemOf parses what ReadIomem has read.
func iomemOf(root fs.FS, text []byte) (*Iomem, error) {
	m, err := ParseIomem(bytes.NewReader(text))
	if err != nil {
		return nil, fmt.Errorf("/%s: %w", iomemPath, err)
	}
	switch {
	case len(m.Resources) == 0:
		return nil, fmt.Errorf("/%s: is empty", iomemPath)
	case m.Hidden():
		return nil, fmt.Errorf("/%s: %w", iomemPath, ErrAddressesHidden)
	}
	if m.TreeCrash, err = readTreeCrash(root); err != nil {
		return nil, err
	}
	m.text = text
	return m, nil
}

// readStable reads the file until two reads agree, for about half a second.
func readStable(root fs.FS, name string) ([]byte, error) {
	const tries = 10
	last, err := sysfs.ReadFile(root, name, maxIomemSize)
	if err != nil {
		return nil, err
	}
	pause := time.Millisecond
	for range tries {
		text, err := sysfs.ReadFile(root, name, maxIomemSize)
		if err != nil {
			return nil, err
		}
		if bytes.Equal(text, last) {
			return text, nil
		}
		last = text
		time.Sleep(pause)
		pause = min(2*pause, 100*time.Millisecond)
	}
	return nil, fmt.Errorf("/%s: %w, %d times", name, ErrChanging, tries+1)
}

// ParseIomem reads text in the format of /proc/iomem and /proc/ioports
// (kernel/resource.c, r_show): per resource a line of twice its depth in
// blanks, first and last address in hexadecimal, and its name. Every line must
// have exactly that form; names may be anything. It takes hidden addresses as
// they are: see Iomem.Hidden.
func ParseIomem(r io.Reader) (*Iomem, error) {
	text, err := io.ReadAll(io.LimitReader(r, maxIomemSize+1))
	if err != nil {
		return nil, err
	}
	if len(text) > maxIomemSize {
		return nil, fmt.Errorf("larger than %d bytes", maxIomemSize)
	}
	m := new(Iomem)
	var path []*Resource // the last resource of each depth
	for line := 1; len(text) > 0; line++ {
		l, rest, ok := bytes.Cut(text, []byte{'\n'})
		if !ok {
			return nil, fmt.Errorf("line %d: ends without a newline: %.200q", line, l)
		}
		text = rest
		if m.Digits == 0 {
			m.Digits = leastDigits(l)
		}
		depth, res, err := parseLine(l, m.Digits)
		if err != nil {
			return nil, fmt.Errorf("line %d: %w: %.200q", line, err, l)
		}
		switch {
		case depth > len(path):
			return nil, fmt.Errorf("line %d: at depth %d, after a line at depth %d: %.200q", line, depth, len(path)-1, l)
		case depth >= maxDepth:
			return nil, fmt.Errorf("line %d: nested deeper than %d: %.200q", line, maxDepth, l)
		case depth == 0:
			m.Resources = append(m.Resources, res)
		default:
			path[depth-1].Children = append(path[depth-1].Children, res)
		}
		path = append(path[:depth], res)
	}
	return m, nil
}

// leastDigits returns the least number of digits of a file's addresses by its
// first line: r_show uses 4 where no address has more, else 8.
func leastDigits(line []byte) int {
	if bytes.IndexByte(line, '-') == 4 {
		return 4
	}
	return 8
}

// parseLine parses one line without its newline.
func parseLine(line []byte, digits int) (depth int, r *Resource, err error) {
	l := bytes.TrimLeft(line, " ")
	indent := len(line) - len(l)
	if indent%2 != 0 {
		return 0, nil, fmt.Errorf("indented by %d blanks, an odd number", indent)
	}
	start, l, err := parseAddr(l, digits)
	if err != nil {
		return 0, nil, fmt.Errorf("first address %w", err)
	}
	l, ok := bytes.CutPrefix(l, []byte("-"))
	if !ok {
		return 0, nil, errors.New(`no "-" after the first address`)
	}
	last, l, err := parseAddr(l, digits)
	if err != nil {
		return 0, nil, fmt.Errorf("last address %w", err)
	}
	l, ok = bytes.CutPrefix(l, []byte(" : "))
	if !ok {
		return 0, nil, errors.New(`no " : " after the last address`)
	}
	if last < start {
		return 0, nil, fmt.Errorf("last address %v is below the first, %v", last, start)
	}
	return indent / 2, &Resource{Start: start, Last: last, Name: string(l)}, nil
}

// parseAddr parses the address at the start of b, which has no more digits
// than it needs but at least the given number, and returns the rest of b.
func parseAddr(b []byte, digits int) (PhysAddr, []byte, error) {
	var a PhysAddr
	n := 0
	for ; n < len(b); n++ {
		var d byte
		switch c := b[n]; {
		case '0' <= c && c <= '9':
			d = c - '0'
		case 'a' <= c && c <= 'f':
			d = c - 'a' + 10
		default:
			d = 16
		}
		if d == 16 {
			break
		}
		if n == 16 {
			return 0, nil, errors.New("has more than 16 digits")
		}
		a = a<<4 | PhysAddr(d)
	}
	switch {
	case n < digits:
		return 0, nil, fmt.Errorf("has %d hexadecimal digits, not at least %d", n, digits)
	case n > digits && b[0] == '0':
		return 0, nil, fmt.Errorf("has %d digits, and a leading zero it doesn't need", n)
	}
	return a, b[n:], nil
}

// AppendText appends the tree to b in the format of /proc/iomem. What
// ParseIomem read is printed back byte for byte. A name with a newline, and a
// resource whose last address is below its first, are errors.
func (m *Iomem) AppendText(b []byte) ([]byte, error) {
	digits := m.Digits
	if digits == 0 {
		digits = 8
	}
	for depth, r := range m.Walk() {
		if r.Last < r.Start {
			return b, fmt.Errorf("resource %q: last address %v is below the first, %v", r.Name, r.Last, r.Start)
		}
		if strings.Contains(r.Name, "\n") {
			return b, fmt.Errorf("resource %q at %v: its name has a newline", r.Name, r.Start)
		}
		for range depth {
			b = append(b, "  "...)
		}
		b = appendAddr(b, r.Start, digits)
		b = append(b, '-')
		b = appendAddr(b, r.Last, digits)
		b = append(b, " : "...)
		b = append(b, r.Name...)
		b = append(b, '\n')
	}
	return b, nil
}

// appendAddr appends a in hexadecimal, with at least the given digits.
func appendAddr(b []byte, a PhysAddr, digits int) []byte {
	for shift := 60; shift >= 0; shift -= 4 {
		if d := a >> shift; d != 0 || shift < 4*digits {
			b = append(b, "0123456789abcdef"[d&0xf])
		}
	}
	return b
}

// WriteTo writes the tree to w as AppendText formats it.
func (m *Iomem) WriteTo(w io.Writer) (int64, error) {
	b, err := m.AppendText(nil)
	if err != nil {
		return 0, err
	}
	n, err := w.Write(b)
	return int64(n), err
}
