package memmap

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
)

// firmware makes /sys/firmware/memmap of "start end type" by number.
func firmware(entries map[string]string) fstest.MapFS {
	root := fstest.MapFS{}
	for n, e := range entries {
		f := strings.SplitN(e, " ", 3)
		for i, name := range []string{"start", "end", "type"} {
			root[fmt.Sprintf("sys/firmware/memmap/%s/%s", n, name)] = &fstest.MapFile{Data: []byte(f[i] + "\n")}
		}
	}
	return root
}

func TestReadFirmwareMap(t *testing.T) {
	tests := []struct {
		name    string
		entries map[string]string
		want    []FirmwareEntry
		wantErr string
	}{
		{"ordered by number, with a gap", map[string]string{
			"10": "0x100000000 0x63fffffff System RAM", "2": "0x0 0x9fbff System RAM", "3": "0x9fc00 0xfffff Reserved",
		}, []FirmwareEntry{
			{Range{0, 0x9fc00}, "System RAM"}, {Range{0x9fc00, 0x100000}, "Reserved"}, {Range{0x100000000, 0x640000000}, "System RAM"},
		}, ""},
		{"empty entry", map[string]string{"0": "0x1000 0xfff ACPI Tables"}, []FirmwareEntry{{Range{0x1000, 0x1000}, "ACPI Tables"}}, ""},
		{"the top", map[string]string{"0": "0x1000 0xffffffffffffffff Reserved"}, []FirmwareEntry{{Range{0x1000, top}, "Reserved"}}, ""},
		{"backwards", map[string]string{"0": "0x1000 0xffe Reserved"}, nil, "/sys/firmware/memmap/0: end 0xffe is below start 0x1000"},
		{"no 0x", map[string]string{"0": "1000 0x1fff Reserved"}, nil, `/sys/firmware/memmap/0/start: "1000" is not an address`},
		{"underscore", map[string]string{"0": "0x1_000 0x1fff Reserved"}, nil, "is not an address"},
		{"sign", map[string]string{"0": "0x+1000 0x1fff Reserved"}, nil, "is not an address"},
		{"too large", map[string]string{"0": "0x0 0x1ffffffffffffffff Reserved"}, nil, "is not an address"},
		{"name", map[string]string{"x": "0x0 0xfff Reserved"}, nil, "/sys/firmware/memmap/x: name is not a number"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := ReadFirmwareMap(firmware(tt.entries))
			if tt.wantErr != "" {
				if err == nil || !strings.Contains(err.Error(), tt.wantErr) {
					t.Errorf("ReadFirmwareMap() = %v, %v; want %q", got, err, tt.wantErr)
				}
				return
			}
			if err != nil || !slices.Equal(got, tt.want) {
				t.Errorf("ReadFirmwareMap() = %v, %v; want %v", got, err, tt.want)
			}
		})
	}
}

func TestFirmwareEntryString(t *testing.T) {
	e := FirmwareEntry{Range{0, 0x9fc00}, "System RAM"}
	if got, want := e.String(), "[0x0-0x9fc00) System RAM"; got != want {
		t.Errorf("String() = %q; want %q", got, want)
	}
}

func TestReadFirmwareMapMissing(t *testing.T) {
	_, err := ReadFirmwareMap(fstest.MapFS{})
	if !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "/sys/firmware/memmap") {
		t.Errorf("ReadFirmwareMap() = %v; want one that wraps fs.ErrNotExist and names the directory", err)
	}
	broken := firmware(map[string]string{"0": "0x0 0xfff Reserved"})
	delete(broken, "sys/firmware/memmap/0/type")
	if _, err := ReadFirmwareMap(broken); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "/sys/firmware/memmap/0/type") {
		t.Errorf("ReadFirmwareMap() without a type = %v; want one that names it", err)
	}
}
