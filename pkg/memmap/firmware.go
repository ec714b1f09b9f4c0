package memmap

import (
	"cmp"
	"fmt"
	"io/fs"
	"slices"
	"strconv"
	"strings"

	"github.com/gokexec/gokexec/internal/sysfs"
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
		return nil, sysfs.Rooted(err)
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
	text, err := sysfs.ReadString(root, dir+"/type")
	if err != nil {
		return FirmwareEntry{}, err
	}
	r := RangeTo(start, last)
	// An entry of no bytes is printed with its last byte below its first.
	if r.End < r.Start {
		return FirmwareEntry{}, fmt.Errorf("/%s: end %v is below start %v", dir, last, start)
	}
	return FirmwareEntry{r, text}, nil
}

// readAddr reads a file that holds an address, "0x" and hexadecimal digits.
func readAddr(root fs.FS, name string) (PhysAddr, error) {
	s, err := sysfs.ReadString(root, name)
	if err != nil {
		return 0, err
	}
	digits, ok := strings.CutPrefix(s, "0x")
	a, err := strconv.ParseUint(digits, 16, 64)
	if !ok || err != nil {
		return 0, fmt.Errorf("/%s: %.200q is not an address", name, s)
	}
	return PhysAddr(a), nil
}
