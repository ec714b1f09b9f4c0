package blkid

import (
	"bytes"
	"io"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/gokexec/gokexec/internal/disktest"
)

// probe is Probe's signatures.
func probe(r io.ReaderAt, size int64) ([]Signature, error) {
	c, err := Probe(r, size)
	return c.Signatures, err
}

func hasType(found []Signature, name string) bool {
	return slices.ContainsFunc(found, func(s Signature) bool { return s.Type == name })
}

func TestProbe(t *testing.T) {
	for _, p := range plants {
		b := make([]byte, 2<<20)
		uuid := p.plant(b, testUUID, "my disk")
		got, err := probe(bytes.NewReader(b), int64(len(b)))
		want := []Signature{{Kind: p.kind, Type: p.name, UUID: uuid, Label: "my disk", Mountable: !slices.Contains(unmountable, p.name)}}
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("Probe(%s) = %+v, %v; want %+v", p.name, got, err, want)
		}
	}
	for _, m := range magics {
		b := make([]byte, 3<<20)
		at := m.offset
		if at < 0 {
			at += int64(len(b))
		}
		copy(b[at:], m.magic)
		if got, err := probe(bytes.NewReader(b), int64(len(b))); err != nil || !hasType(got, m.name) {
			t.Errorf("Probe(%s at %#x) = %+v, %v", m.name, m.offset, got, err)
		}
	}
	for _, magic := range []string{"S1SUSPEND", "S2SUSPEND", "ULSUSPEND", "LINHIB0001"} {
		b := make([]byte, 1<<20)
		copy(b[0x10000-10:], magic)
		if got, err := probe(bytes.NewReader(b), int64(len(b))); err != nil || len(got) != 1 || got[0].Type != "swsuspend" || got[0].Kind != Unknown {
			t.Errorf("Probe(%s) = %+v, %v", magic, got, err)
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
	if got, _ := probe(bytes.NewReader(b), 2048); len(got) != 1 || got[0].Mountable || got[0].Kind != Unknown {
		t.Errorf("Probe(external journal) = %+v; want it not mountable", got)
	}
}

// The superblock of an ext4 names its external journal.
func TestExternalJournal(t *testing.T) {
	const journal = "99999999-8888-7777-6666-555555555555"
	id := disktest.UUIDBytes(journal)
	for _, tt := range []struct {
		name           string
		change         func(b []byte)
		needs, journal string
	}{
		{"its own journal", func(b []byte) {}, "", ""},
		{"no journal", func(b []byte) { b[0x45c], b[0x4e0] = 0, 0; copy(b[0x4d0:], id[:]) }, "", ""},
		{"an external one", func(b []byte) { b[0x4e0] = 0; copy(b[0x4d0:], id[:]) }, "an external journal", journal},
		{"an external one without a UUID", func(b []byte) { b[0x4e0] = 0 }, "an external journal", ""},
	} {
		b := make([]byte, 1<<20)
		disktest.Ext4(disktest.UUID, "")(b)
		tt.change(b)
		c, err := Probe(bytes.NewReader(b), int64(len(b)))
		if err != nil || c.Needs != tt.needs || c.Journal != tt.journal {
			t.Errorf("%s: needs %q, journal %q, %v; want %q and %q", tt.name, c.Needs, c.Journal, err, tt.needs, tt.journal)
		}
	}
}

type badReader struct{}

func (badReader) ReadAt([]byte, int64) (int, error) { return 0, os.ErrInvalid }

// A member is a member, whatever filesystem shows inside, and whatever the
// size of the device.
func TestMemberWins(t *testing.T) {
	sizes := []int{2 << 20, 2<<20 + 512, 2<<20 + 4096, 2<<20 + 65536 - 512, 2<<20 + 61440}
	for _, m := range memberPlants {
		for _, size := range sizes {
			b := make([]byte, size)
			uuid := plantExt(4, 0x42, 1)(b, [16]byte{9, 9}, "inside")
			inside := bytes.Clone(b)
			m.plant(b)
			c, err := Probe(bytes.NewReader(b), int64(size))
			v := c.Verdict()
			if err != nil || v.Kind != Member || v.Signature.Type != m.name || membership(v.Signature.Type) == "" {
				t.Errorf("%s %s, %d bytes: %+v, %v; want it a member", m.name, m.what, size, v, err)
			}
			if b[0x438] == 0x53 && !slices.ContainsFunc(c.Signatures, func(s Signature) bool { return s.UUID == uuid }) {
				t.Errorf("%s %s: %v; the filesystem inside is not named", m.name, m.what, c.Signatures)
			}
			if c, err := Probe(bytes.NewReader(inside), int64(size)); err != nil || c.Verdict().Kind != Filesystem {
				t.Errorf("without %s: %+v, %v; want a filesystem", m.name, c.Verdict(), err)
			}
		}
	}
}

// On disks with sectors of 4096 bytes Intel's metadata is two of those from the end.
func TestIntelRAIDSectors(t *testing.T) {
	b := make([]byte, 2<<20)
	copy(b[len(b)-2*4096:], "Intel Raid ISM Cfg Sig. ")
	if got, err := probe(bytes.NewReader(b), int64(len(b))); err != nil || !hasType(got, "isw_raid_member") {
		t.Errorf("Probe = %v, %v", got, err)
	}
}

func TestMDIdentity(t *testing.T) {
	for _, m := range memberPlants[:5] {
		b := make([]byte, 1<<20)
		m.plant(b)
		got, err := probe(bytes.NewReader(b), int64(len(b)))
		if err != nil || len(got) != 1 || got[0].UUID != disktest.UUID {
			t.Errorf("md %s: %+v, %v; want UUID %s", m.what, got, err, disktest.UUID)
		}
	}
}

// The superblock of a partition that ends where the disk ends is found at the
// end of the disk as well, and isn't the disk's.
func TestPartitionsMember(t *testing.T) {
	const size, first = 4 << 20, 64 << 10
	for _, m := range memberPlants {
		if !strings.HasPrefix(m.what, "0.90") && m.what != "1.0" && m.name != "drbd" && m.what != "label 3" {
			continue
		}
		disk := make([]byte, size)
		m.plant(disk[first:])
		dosDisk(disk)
		le.PutUint32(disk[454:], first/512)
		le.PutUint32(disk[458:], (size-first)/512)
		c, err := Probe(bytes.NewReader(disk), size)
		if err != nil || c.Verdict().Kind != PartitionTable {
			t.Errorf("%s %s: the disk is %+v, %v; want a disk with partitions", m.name, m.what, c.Verdict(), err)
		}
		c, err = Probe(bytes.NewReader(disk[first:]), size-first)
		if err != nil || c.Verdict().Kind != Member {
			t.Errorf("%s %s: the partition is %+v, %v; want a member", m.name, m.what, c.Verdict(), err)
		}
	}
	// But a disk that is a member may show the partitions of the array.
	disk := make([]byte, size)
	plantMD1(disk, (size/512-16)&^7)
	dosDisk(disk)
	if c, err := Probe(bytes.NewReader(disk), size); err != nil || c.Verdict().Kind != Member {
		t.Errorf("a partitioned array's disk is %+v, %v; want a member", c.Verdict(), err)
	}
}

// A second LUKS2 header makes a member where nothing else is, but not where a
// filesystem was made later.
func TestLUKSCopy(t *testing.T) {
	for offset := 0x4000; offset <= 0x400000; offset *= 2 {
		b := make([]byte, 5<<20)
		copy(b[offset:], "SKUL\xba\xbe")
		if c, err := Probe(bytes.NewReader(b), int64(len(b))); err != nil || c.Verdict().Kind != Member {
			t.Errorf("second header at %#x: %+v, %v", offset, c.Verdict(), err)
		}
		plants[4].plant(b, [16]byte{1}, "xfs")
		if c, err := Probe(bytes.NewReader(b), int64(len(b))); err != nil || c.Verdict().Kind != Filesystem {
			t.Errorf("second header at %#x and XFS: %+v, %v", offset, c.Verdict(), err)
		}
	}
}

func TestVerdict(t *testing.T) {
	tests := []struct {
		found []Signature
		want  Kind
	}{
		{nil, Unknown},
		{[]Signature{{Kind: Filesystem}, {Kind: Member}}, Member},
		{[]Signature{{Kind: PartitionTable}, {Kind: Filesystem}}, Filesystem},
		{[]Signature{{Kind: Unknown}, {Kind: Swap}}, Swap},
		{[]Signature{{Kind: PartitionTable}, {Kind: Dump}}, Dump},
	}
	for _, tt := range tests {
		c := Contents{Signatures: tt.found, DataAt: -1}
		if got := c.Verdict().Kind; got != tt.want {
			t.Errorf("verdict on %v = %s; want %s", tt.found, got, tt.want)
		}
	}
}

func TestMountTypes(t *testing.T) {
	for name, want := range map[string]string{"ext2": "ext2 ext4", "ext3": "ext3 ext4", "ntfs": "ntfs3", "f2fs": "f2fs"} {
		if got := strings.Join(Signature{Type: name}.MountTypes(), " "); got != want {
			t.Errorf("MountTypes of %s = %s; want %s", name, got, want)
		}
	}
}

// Two filesystems are told apart by what they are, not by what blank fields
// look like.
func TestMinixIsNoExt(t *testing.T) {
	b := make([]byte, 1<<20)
	plantExt(0, 0, 0)(b, [16]byte{1}, "")
	copy(b[0x410:], "\x8f\x13") // the count of free inodes
	if got, err := probe(bytes.NewReader(b), int64(len(b))); err != nil || len(got) != 1 || got[0].Type != "ext2" {
		t.Errorf("Probe = %v, %v; want ext2 alone", got, err)
	}
	clear(b[0x438:0x43a])
	if got, err := probe(bytes.NewReader(b), int64(len(b))); err != nil || !hasType(got, "minix") {
		t.Errorf("Probe = %v, %v; want minix", got, err)
	}
}
