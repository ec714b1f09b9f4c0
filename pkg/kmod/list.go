package kmod

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"strings"
)

// ListPath is where a capture initramfs has its list of modules, below its
// root.
const ListPath = "etc/gokexec/modules.list"

const (
	listMagic   = "gokexec-modules 1"
	maxList     = 1 << 20
	maxListLine = 8 << 10
)

// List is the modules of an initramfs in load order: all that is needed to
// load them without modprobe. Its text form is one line for the kernel and one
// per module:
//
//	gokexec-modules 1 6.12.107+deb13-amd64
//	require jbd2 lib/modules/6.12.107+deb13-amd64/jbd2.ko
//	optional crc32c_intel lib/modules/6.12.107+deb13-amd64/crc32c_intel.ko
//	require nvme_core lib/modules/6.12.107+deb13-amd64/nvme_core.ko io_timeout=60
type List struct {
	Kernel  string // release the modules are for, as in uname -r
	Entries []Entry
}

// Entry is a module in a List.
type Entry struct {
	Name     string // normalised
	Path     string // inside the initramfs, without the leading slash
	Params   string // module parameters, as for finit_module(2); may be empty
	Optional bool   // failing to load it is not an error
}

// AppendText appends the list's text form to b. A list that ParseList would
// not read back is an error.
func (l *List) AppendText(b []byte) ([]byte, error) {
	if err := checkVersion(l.Kernel); err != nil {
		return nil, fmt.Errorf("modules list: %w", err)
	}
	b = fmt.Appendf(b, "%s %s\n", listMagic, l.Kernel)
	seen := make(map[string]bool)
	for _, e := range l.Entries {
		if err := e.check(); err != nil {
			return nil, fmt.Errorf("modules list: %w", err)
		}
		if seen[e.Name] {
			return nil, fmt.Errorf("modules list: module %s is in it twice", e.Name)
		}
		seen[e.Name] = true
		word := "require"
		if e.Optional {
			word = "optional"
		}
		b = fmt.Appendf(b, "%s %s %s", word, e.Name, e.Path)
		if e.Params != "" {
			b = append(b, ' ')
			b = append(b, e.Params...)
		}
		b = append(b, '\n')
	}
	return b, nil
}

func (e Entry) check() error {
	switch {
	case !validName(e.Name) || strings.Contains(e.Name, "-"):
		return fmt.Errorf("%q is not a module name", clip(e.Name))
	case !fs.ValidPath(e.Path) || e.Path == "." || strings.ContainsFunc(e.Path, isBlank):
		return fmt.Errorf("module %s: bad path %q", e.Name, clip(e.Path))
	case strings.ContainsAny(e.Params, "\n\r\x00"):
		return fmt.Errorf("module %s: parameters %q: line break or NUL", e.Name, clip(e.Params))
	case strings.TrimSpace(e.Params) != e.Params:
		return fmt.Errorf("module %s: parameters %q: space at an end", e.Name, clip(e.Params))
	case len(e.Name)+len(e.Path)+len(e.Params) > maxListLine-32:
		return fmt.Errorf("module %s: path and parameters have more than %d bytes", e.Name, maxListLine-32)
	}
	return nil
}

func isBlank(r rune) bool { return r <= ' ' || r == 0x7f }

// ParseList reads what AppendText wrote.
func ParseList(b []byte) (*List, error) {
	if len(b) > maxList {
		return nil, fmt.Errorf("modules list: %w: more than %d bytes", errTooLarge, maxList)
	}
	if len(b) == 0 || b[len(b)-1] != '\n' {
		return nil, errors.New("modules list: does not end with a line break")
	}
	sc := bufio.NewScanner(bytes.NewReader(b))
	sc.Buffer(nil, maxListLine)
	sc.Split(scanLF)
	l := &List{}
	seen := make(map[string]bool)
	n := 0
	for sc.Scan() {
		n++
		if n == 1 {
			v, ok := strings.CutPrefix(sc.Text(), listMagic+" ")
			if !ok {
				return nil, fmt.Errorf("modules list: line 1: %q; want %q and a kernel version", clip(sc.Text()), listMagic)
			}
			if err := checkVersion(v); err != nil {
				return nil, fmt.Errorf("modules list: line 1: %w", err)
			}
			l.Kernel = v
			continue
		}
		e, err := parseEntry(sc.Text())
		if err != nil {
			return nil, fmt.Errorf("modules list: line %d: %w", n, err)
		}
		if seen[e.Name] {
			return nil, fmt.Errorf("modules list: line %d: module %s is in it twice", n, e.Name)
		}
		seen[e.Name] = true
		l.Entries = append(l.Entries, e)
	}
	if err := sc.Err(); err != nil {
		return nil, fmt.Errorf("modules list: line %d: %w", n+1, err)
	}
	return l, nil
}

// scanLF is bufio.ScanLines without its tolerance for "\r\n".
func scanLF(data []byte, _ bool) (int, []byte, error) {
	if i := bytes.IndexByte(data, '\n'); i >= 0 {
		return i + 1, data[:i], nil
	}
	return 0, nil, nil
}

func parseEntry(line string) (Entry, error) {
	words := strings.SplitN(line, " ", 4)
	if len(words) < 3 || words[0] != "require" && words[0] != "optional" {
		return Entry{}, fmt.Errorf("%q is not \"require|optional NAME PATH [PARAMETERS]\"", clip(line))
	}
	e := Entry{Optional: words[0] == "optional", Name: words[1], Path: words[2]}
	if len(words) == 4 {
		if e.Params = words[3]; e.Params == "" {
			return Entry{}, fmt.Errorf("space at the end of %q", clip(line))
		}
	}
	return e, e.check()
}

// ReadList reads the list of an initramfs.
func ReadList(root fs.FS) (*List, error) {
	b, err := readFile(root, ListPath, maxList)
	if err != nil {
		return nil, err
	}
	l, err := ParseList(b)
	if err != nil {
		return nil, fmt.Errorf("/%s: %w", ListPath, err)
	}
	return l, nil
}
