package blkid

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

const testUUID = "01234567-89ab-cdef-0123-456789abcdef"

var testUUIDBytes = []byte{0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef, 0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef}

// probe is Probe's signatures.
func probe(r io.ReaderAt, size int64) ([]Signature, error) {
	c, err := Probe(r, size)
	return c.Signatures, err
}

// plants put the superblock of each type that has a UUID and a label.
var plants = []struct {
	name   string
	labels int // bytes at most
	plant  func(b []byte, uuid [16]byte, label string) (wantUUID string)
}{
	{"ext2", 16, plantExt(0, 0, 0)},
	{"ext3", 16, plantExt(4, 2, 1)},
	{"ext4", 16, plantExt(4, 0x42, 1)},
	{"ext4", 16, plantExt(0, 2, 0x400)},
	{"xfs", 12, func(b []byte, uuid [16]byte, label string) string {
		copy(b, "XFSB")
		copy(b[32:], uuid[:])
		copyLabel(b[108:120], label)
		return formatUUID(uuid[:])
	}},
	{"btrfs", 255, func(b []byte, uuid [16]byte, label string) string {
		copy(b[0x10040:], "_BHRfS_M")
		copy(b[0x10020:], uuid[:])
		copyLabel(b[0x1012b:0x1022b], label)
		return formatUUID(uuid[:])
	}},
	{"swap", 16, func(b []byte, uuid [16]byte, label string) string {
		copy(b[0xff6:], "SWAPSPACE2")
		copy(b[0x40c:], uuid[:])
		copyLabel(b[0x41c:0x42c], label)
		return formatUUID(uuid[:])
	}},
	{"vfat", 11, plantFAT(0x43, 0x52, "FAT32   ")},
	{"vfat", 11, plantFAT(0x27, 0x36, "FAT16   ")},
}

func plantExt(compat, incompat, roCompat uint32) func([]byte, [16]byte, string) string {
	return func(b []byte, uuid [16]byte, label string) string {
		sb := b[1024:]
		copy(sb[0x38:], "\x53\xef")
		binary.LittleEndian.PutUint32(sb[0x5c:], compat)
		binary.LittleEndian.PutUint32(sb[0x60:], incompat)
		binary.LittleEndian.PutUint32(sb[0x64:], roCompat)
		copy(sb[0x68:], uuid[:])
		copyLabel(sb[0x78:0x88], label)
		return formatUUID(uuid[:])
	}
}

func plantFAT(extended, at int, name string) func([]byte, [16]byte, string) string {
	return func(b []byte, uuid [16]byte, label string) string {
		clear(b[:512])
		copy(b[510:], "\x55\xaa")
		copy(b[extended:], uuid[:4])
		copy(b[extended+4:], fmt.Sprintf("%-11s", label))
		copy(b[at:], name)
		return fmt.Sprintf("%02X%02X-%02X%02X", uuid[3], uuid[2], uuid[1], uuid[0])
	}
}

func copyLabel(b []byte, label string) {
	clear(b)
	copy(b, label)
}

func TestProbe(t *testing.T) {
	for _, p := range plants {
		b := make([]byte, 2<<20)
		uuid := p.plant(b, [16]byte(testUUIDBytes), "my disk")
		got, err := probe(bytes.NewReader(b), int64(len(b)))
		want := []Signature{{Kind: kindOf(Signature{Type: p.name}), Type: p.name, UUID: uuid, Label: "my disk", Mountable: p.name != "swap"}}
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("Probe(%s) = %+v, %v; want %+v", p.name, got, err, want)
		}
	}
	for _, m := range magics {
		b := make([]byte, 2<<20)
		copy(b[m.offset:], m.magic)
		if got, err := probe(bytes.NewReader(b), int64(len(b))); err != nil || !slices.ContainsFunc(got, func(s Signature) bool { return s.Type == m.name }) {
			t.Errorf("Probe(%s at %#x) = %+v, %v", m.name, m.offset, got, err)
		}
	}
	for _, size := range []int64{0, 1, 511, 512, 4096, 3 << 20} {
		if got, err := probe(bytes.NewReader(make([]byte, size)), size); err != nil || len(got) != 0 {
			t.Errorf("Probe(%d zeros) = %+v, %v; want nothing", size, got, err)
		}
	}
	if _, err := probe(badReader{}, 1<<20); err == nil {
		t.Error("Probe of what can't be read: no error")
	}
	b := make([]byte, 2048)
	copy(b[0x438:], "\x53\xef")
	b[0x460] = 8
	if got, _ := probe(bytes.NewReader(b), 2048); len(got) != 1 || got[0].Mountable {
		t.Errorf("Probe(external journal) = %+v; want it not mountable", got)
	}
}

type badReader struct{}

func (badReader) ReadAt([]byte, int64) (int, error) { return 0, os.ErrInvalid }

// TestProbeRealTools holds the prober against what the tools write.
func TestProbeRealTools(t *testing.T) {
	tests := []struct {
		tool string
		size int64
		args []string
		want Signature
	}{
		{"mkfs.ext2", 8 << 20, []string{"-q", "-U", testUUID, "-L", "my disk"}, Signature{Kind: Filesystem, Type: "ext2", UUID: testUUID, Label: "my disk", Mountable: true}},
		{"mkfs.ext3", 16 << 20, []string{"-q", "-U", testUUID, "-L", "my disk"}, Signature{Kind: Filesystem, Type: "ext3", UUID: testUUID, Label: "my disk", Mountable: true}},
		{"mkfs.ext4", 16 << 20, []string{"-q", "-U", testUUID, "-L", "my disk"}, Signature{Kind: Filesystem, Type: "ext4", UUID: testUUID, Label: "my disk", Mountable: true}},
		{"mkswap", 4 << 20, []string{"-U", testUUID, "-L", "my swap"}, Signature{Kind: Swap, Type: "swap", UUID: testUUID, Label: "my swap"}},
		{"mkfs.xfs", 320 << 20, []string{"-q", "-m", "uuid=" + testUUID, "-L", "my disk"}, Signature{Kind: Filesystem, Type: "xfs", UUID: testUUID, Label: "my disk", Mountable: true}},
		{"mkfs.btrfs", 256 << 20, []string{"-q", "-U", testUUID, "-L", "my disk"}, Signature{Kind: Filesystem, Type: "btrfs", UUID: testUUID, Label: "my disk", Mountable: true}},
		{"mkfs.vfat", 8 << 20, []string{"-i", "1234abcd", "-n", "MY DISK"}, Signature{Kind: Filesystem, Type: "vfat", UUID: "1234-ABCD", Label: "MY DISK", Mountable: true}},
	}
	for _, tt := range tests {
		t.Run(tt.tool, func(t *testing.T) {
			tool, err := exec.LookPath(tt.tool)
			if err != nil {
				if tool, err = exec.LookPath("/usr/sbin/" + tt.tool); err != nil {
					t.Skip("not installed")
				}
			}
			name := filepath.Join(t.TempDir(), "image")
			if err := os.WriteFile(name, nil, 0o600); err != nil {
				t.Fatal(err)
			}
			if err := os.Truncate(name, tt.size); err != nil {
				t.Fatal(err)
			}
			if out, err := exec.Command(tool, append(tt.args, name)...).CombinedOutput(); err != nil {
				t.Fatalf("%s: %v\n%s", tt.tool, err, out)
			}
			f, err := os.Open(name)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			if got, err := probe(f, tt.size); err != nil || !slices.Equal(got, []Signature{tt.want}) {
				t.Errorf("Probe = %+v, %v; want %+v", got, err, tt.want)
			}
		})
	}
}

// FuzzProbe: a planted superblock is found whatever is around it; and in
// anything, only what is blank is found blank, and names are printable.
func FuzzProbe(f *testing.F) {
	for i := range plants {
		f.Add([]byte("some data"), uint16(i), testUUIDBytes, "label")
	}
	f.Add([]byte{}, uint16(99), []byte{}, "")
	f.Fuzz(func(t *testing.T, data []byte, kind uint16, id []byte, label string) {
		// The data is repeated, so that it reaches all offsets.
		b := make([]byte, 0x11000)
		for n := 0; n < len(b) && len(data) > 0; n += copy(b[n:], data) {
		}
		var want *Signature
		if i := int(kind); i < len(plants) {
			p := plants[i]
			var uuid [16]byte
			copy(uuid[:], id)
			label = strings.Trim(strings.ToValidUTF8(strings.ReplaceAll(label, "\x00", ""), ""), " ")
			for len(label) > p.labels {
				_, n := utf8.DecodeLastRuneInString(label)
				label = strings.TrimRight(label[:len(label)-n], " ")
			}
			if p.name == "vfat" && label == "NO NAME" {
				label = ""
			}
			want = &Signature{Kind: kindOf(Signature{Type: p.name}), Type: p.name, UUID: p.plant(b, uuid, label), Label: label, Mountable: p.name != "swap"}
		}
		got, err := probe(bytes.NewReader(b), int64(len(b)))
		if err != nil {
			t.Fatalf("Probe: %v", err)
		}
		if want != nil && !slices.Contains(got, *want) {
			t.Errorf("Probe = %+v; want %+v in it", got, *want)
		}
		if blank := len(bytes.Trim(b, "\x00")) == 0; blank != (len(got) == 0) {
			t.Errorf("Probe = %+v; blank is %v", got, blank)
		}
		for i, s := range got {
			if s.Type == "" || !utf8.ValidString(s.Label) || s.Type == "data" && len(got) > 1 || slices.ContainsFunc(got[:i], func(o Signature) bool { return o.Type == s.Type }) {
				t.Errorf("Probe = %+v", got)
			}
		}
		// A device that ends early is no different from a short one.
		short := int64(len(data)) % int64(len(b))
		if _, err := Probe(io.NewSectionReader(bytes.NewReader(b), 0, short), short); err != nil {
			t.Errorf("Probe of the first %d bytes: %v", short, err)
		}
	})
}
