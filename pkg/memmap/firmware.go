package memmap

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strconv"
	"strings"
)

const firmwarePath = "sys/firmware/memmap"

// FirmwareEntry is one entry of the firmware's memory map, on x86 the e820 map.
type FirmwareEntry struct {
	Range
	Type string // such as "System RAM", "Reserved", "ACPI Tables"
}

// String returns the range as Range.String does, and the type.
func (e FirmwareEntry) String() string { return e.Range.String() + " " + e.Type }

// ReadFirmwareMap reads the firmware's memory map from
// /sys/firmware/memmap/N/{start,end,type} (drivers/firmware/memmap.c), in the
// order of N. The error wraps fs.ErrNotExist where the kernel has none: it
// needs CONFIG_FIRMWARE_MEMMAP, and only x86 has it.
func ReadFirmwareMap(root fs.FS) ([]FirmwareEntry, error) {
	dirs, err := fs.ReadDir(root, firmwarePath)
	if err != nil {
		return nil, absPath(err)
	}
	numbers := make([]uint64, 0, len(dirs))
	for _, d := range dirs {
		n, err := strconv.ParseUint(d.Name(), 10, 32)
		if err != nil {
			return nil, fmt.Errorf("/%s/%s: name is not a number", firmwarePath, d.Name())
		}
		numbers = append(numbers, n)
	}
	slices.SortFunc(numbers, cmp.Compare)
	entries := make([]FirmwareEntry, 0, len(numbers))
	for _, n := range numbers {
		e, err := readFirmwareEntry(root, fmt.Sprintf("%s/%d", firmwarePath, n))
		if err != nil {
			return nil, err
		}
		entries = append(entries, e)
	}
	return entries, nil
}

func readFirmwareEntry(root fs.FS, dir string) (FirmwareEntry, error) {
	start, err := readAddr(root, dir+"/start")
	if err != nil {
		return FirmwareEntry{}, err
	}
	last, err := readAddr(root, dir+"/end")
	if err != nil {
		return FirmwareEntry{}, err
	}
	text, err := readFile(root, dir+"/type", 4096)
	if err != nil {
		return FirmwareEntry{}, err
	}
	r := RangeTo(start, last)
	// An entry of no bytes is printed with its last byte below its first.
	if r.End < r.Start {
		return FirmwareEntry{}, fmt.Errorf("/%s: end %v is below start %v", dir, last, start)
	}
	return FirmwareEntry{r, strings.TrimSuffix(string(text), "\n")}, nil
}

// readAddr reads a file that holds an address, "0x" and hexadecimal digits.
func readAddr(root fs.FS, name string) (PhysAddr, error) {
	text, err := readFile(root, name, 4096)
	if err != nil {
		return 0, err
	}
	s := strings.TrimSuffix(string(text), "\n")
	digits, ok := strings.CutPrefix(s, "0x")
	a, err := strconv.ParseUint(digits, 16, 64)
	if !ok || err != nil {
		return 0, fmt.Errorf("/%s: %.200q is not an address", name, s)
	}
	return PhysAddr(a), nil
}

// readFile reads a whole file of at most limit bytes. Files of /proc and /sys
// don't tell their size beforehand.
func readFile(root fs.FS, name string, limit int64) ([]byte, error) {
	f, err := root.Open(name)
	if err != nil {
		return nil, absPath(err)
	}
	defer f.Close()
	if info, err := f.Stat(); err == nil && info.Size() > limit { // of a tree
		return nil, fmt.Errorf("/%s: larger than %d bytes", name, limit)
	}
	b, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err != nil {
		return nil, absPath(err)
	}
	if int64(len(b)) > limit {
		return nil, fmt.Errorf("/%s: larger than %d bytes", name, limit)
	}
	return b, nil
}

// absPath puts the leading slash, which paths in an fs.FS don't have, back into
// the path of a *fs.PathError.
func absPath(err error) error {
	var pe *fs.PathError
	if errors.As(err, &pe) && !strings.HasPrefix(pe.Path, "/") {
		return &fs.PathError{Op: pe.Op, Path: "/" + pe.Path, Err: pe.Err}
	}
	return err
}
