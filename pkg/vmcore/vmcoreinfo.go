package vmcore

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
)

// ErrNoVMCoreInfo reports a core file without a VMCOREINFO note.
var ErrNoVMCoreInfo = errors.New("no VMCOREINFO note")

// maxVMCoreInfo bounds the text, in bytes. The kernel has one page for it, 64 KiB at most
// (include/linux/vmcore_info.h, VMCOREINFO_BYTES).
const maxVMCoreInfo = 1 << 20

// VMCoreInfo is what the kernel exports for programs that read its memory: addresses of
// symbols, sizes and offsets of structures, numbers (kernel/vmcore_info.c and
// Documentation/admin-guide/kdump/vmcoreinfo.rst).
type VMCoreInfo struct {
	OSRelease string    // as uname -r
	PageSize  uint64    // bytes; 0 when not given
	CrashTime time.Time // of the panic, to the second; zero when the kernel hasn't crashed

	// Malformed lists lines that are not KEY=VALUE or whose number can't be read. They
	// are left out; the rest of a damaged text is still used.
	Malformed []error

	values map[string]string
}

// ParseVMCoreInfo parses the text of the VMCOREINFO note or of a file made from it. A last
// line that the kernel's page cut off is dropped. The error is for a text without any valid line.
func ParseVMCoreInfo(text []byte) (*VMCoreInfo, error) {
	if len(text) > maxVMCoreInfo {
		return nil, fmt.Errorf("vmcoreinfo: %d bytes long; at most %d are expected", len(text), maxVMCoreInfo)
	}
	// The kernel's vmcoreinfo_append_str cuts a line when its page is full, and older ones
	// end the last line without a newline. 4 KiB divides every page size.
	full := len(text) > 0 && len(text)%4096 == 0
	text = bytes.TrimRight(text, "\x00")
	full = full && len(text)%4096 == 0
	v := &VMCoreInfo{values: make(map[string]string)}
	for num := 1; len(text) > 0; num++ {
		line, rest, ended := bytes.Cut(text, []byte("\n"))
		text = rest
		if !ended && full {
			break
		}
		if len(line) == 0 {
			continue
		}
		key, value, ok := strings.Cut(string(line), "=")
		if !ok || key == "" || strings.ContainsRune(value, 0) {
			v.malformed(num, "%.80q is not KEY=VALUE", line)
			continue
		}
		if err := checkValue(key, value); err != nil {
			v.malformed(num, "%.80q: %w", line, err)
			continue
		}
		v.values[key] = value
	}
	if len(v.values) == 0 {
		return nil, errors.New("vmcoreinfo: no KEY=VALUE line in it")
	}
	v.OSRelease = v.values["OSRELEASE"]
	v.PageSize, _ = strconv.ParseUint(v.values["PAGESIZE"], 10, 64)
	if sec, err := strconv.ParseInt(v.values["CRASHTIME"], 10, 64); err == nil {
		v.CrashTime = time.Unix(sec, 0)
	}
	return v, nil
}

func (v *VMCoreInfo) malformed(line int, format string, args ...any) {
	if len(v.Malformed) < 100 {
		err := fmt.Errorf(format, args...)
		v.Malformed = append(v.Malformed, fmt.Errorf("vmcoreinfo line %d: %w", line, err))
	}
}

// checkValue tests that the value of a key of known form is a number.
func checkValue(key, value string) error {
	kind, _, ok := strings.Cut(key, "(")
	if !ok {
		return nil
	}
	var err error
	switch kind {
	case "SYMBOL":
		_, err = strconv.ParseUint(value, 16, 64)
	case "SIZE", "OFFSET", "LENGTH":
		_, err = strconv.ParseUint(value, 10, 64)
	case "NUMBER":
		_, err = parseNumber(value)
	}
	if err != nil {
		return errors.New("value is not a number")
	}
	return nil
}

// parseNumber reads a NUMBER: VMCOREINFO_NUMBER prints signed decimal, architectures'
// own lines 0x and hexadecimal, where an address takes all 64 bits.
func parseNumber(s string) (int64, error) {
	if hex, ok := strings.CutPrefix(s, "0x"); ok {
		u, err := strconv.ParseUint(hex, 16, 64)
		return int64(u), err
	}
	if n, err := strconv.ParseInt(s, 10, 64); err == nil {
		return n, nil
	}
	u, err := strconv.ParseUint(s, 10, 64)
	return int64(u), err
}

// Lookup returns the text after KEY=, for keys without a method: "BUILD-ID", "KERNELOFFSET".
func (v *VMCoreInfo) Lookup(key string) (string, bool) {
	s, ok := v.values[key]
	return s, ok
}

// Symbol returns the virtual address of a kernel symbol.
func (v *VMCoreInfo) Symbol(name string) (uint64, bool) { return v.uint("SYMBOL", name, 16) }

// Size returns the size in bytes of a structure or type.
func (v *VMCoreInfo) Size(name string) (uint64, bool) { return v.uint("SIZE", name, 10) }

// Offset returns the offset in bytes of "structure.member".
func (v *VMCoreInfo) Offset(name string) (uint64, bool) { return v.uint("OFFSET", name, 10) }

// Length returns the number of elements of an array.
func (v *VMCoreInfo) Length(name string) (uint64, bool) { return v.uint("LENGTH", name, 10) }

// Number returns a constant or variable. An address above 1<<63 is negative: convert it to uint64.
func (v *VMCoreInfo) Number(name string) (int64, bool) {
	s, ok := v.values["NUMBER("+name+")"]
	if !ok {
		return 0, false
	}
	n, err := parseNumber(s)
	return n, err == nil
}

func (v *VMCoreInfo) uint(kind, name string, base int) (uint64, bool) {
	s, ok := v.values[kind+"("+name+")"]
	if !ok {
		return 0, false
	}
	n, err := strconv.ParseUint(s, base, 64)
	return n, err == nil
}

// hex returns the value of a plain KEY=hexadecimal line, as KERNELOFFSET is printed.
func (v *VMCoreInfo) hex(key string) (uint64, bool) {
	n, err := strconv.ParseUint(v.values[key], 16, 64)
	return n, err == nil
}

// FindVMCoreInfo parses the VMCOREINFO note of notes, which were read from r: of several the
// first that is not empty. QEMU passes on what a guest wrote, which may be nothing, before
// the kernel's own. A Xen dump has one for the hypervisor as well, named VMCOREINFO_XEN. The error
// is ErrNoVMCoreInfo when there is none, or what is wrong with the first.
func FindVMCoreInfo(notes []Note, r io.ReaderAt) (*VMCoreInfo, error) {
	var first error
	for i := range notes {
		n := &notes[i]
		if n.Name != "VMCOREINFO" || n.Type != 0 {
			continue
		}
		info, err := n.vmcoreInfo(r)
		if err == nil {
			return info, nil
		}
		if first == nil {
			first = err
		}
	}
	if first == nil {
		first = ErrNoVMCoreInfo
	}
	return nil, first
}

// vmcoreInfo parses a VMCOREINFO note.
func (n *Note) vmcoreInfo(r io.ReaderAt) (*VMCoreInfo, error) {
	if n.Size() > maxVMCoreInfo {
		return nil, fmt.Errorf("vmcoreinfo: note is %d bytes long; at most %d are expected", n.Size(), maxVMCoreInfo)
	}
	text := n.Desc
	if text == nil {
		text = make([]byte, n.Size())
		if _, err := io.ReadFull(n.Data(r), text); err != nil {
			return nil, fmt.Errorf("vmcoreinfo: read note: %w", unexpectedEOF(err))
		}
	}
	if len(bytes.TrimRight(text, "\x00")) == 0 {
		return nil, fmt.Errorf("%w: it is empty", ErrNoVMCoreInfo)
	}
	return ParseVMCoreInfo(text)
}
