package blkid

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"io"
	"strings"
)

// Kind says what a signature means to somebody who wants to write.
type Kind string

// The kinds.
const (
	// Blank: nothing is known to be there, and every place that [Inspect] looked
	// at is zero. Only a verdict says so.
	Blank Kind = "blank"
	// Filesystem: it can be mounted.
	Filesystem Kind = "filesystem"
	// Swap: swap space.
	Swap Kind = "swap"
	// Dump: an earlier dump, written by pkg/capture to a raw device.
	Dump Kind = "dump"
	// Member: a part of something else (a RAID, a volume group, an encrypted
	// volume, a mirror over the network, a cache), which alone may write here.
	Member Kind = "member"
	// PartitionTable: the device is a disk with partitions.
	PartitionTable Kind = "partition table"
	// Unknown: something that is none of these, or nothing that Probe knows.
	Unknown Kind = "unknown"
)

// Signature is one thing that a device's contents say it holds.
type Signature struct {
	Kind Kind
	// Type is the name that mount(8) and blkid(8) use: ext4, xfs, btrfs, vfat,
	// swap, crypto_LUKS, LVM2_member, linux_raid_member, gpt, dos and so on;
	// "dump" is an earlier dump.
	Type string
	// UUID and Label are spelled as blkid(8) does; "" when there is none or it
	// isn't read.
	UUID, Label string
	// Mountable is true for the filesystems that the kernel can write, and that no other
	// machine may have mounted.
	Mountable bool
}

// String is the type, and the label if there is one.
func (s Signature) String() string {
	if s.Label != "" {
		return fmt.Sprintf("%s %q", s.Type, s.Label)
	}
	return s.Type
}

// Contents is what a device holds.
type Contents struct {
	// Size of the device in bytes.
	Size int64
	// Signatures are all that were found, in the order of the tables here.
	Signatures []Signature
	// Table is the partition table, nil for none.
	Table *Table
	// Btrfs is what a member of a btrfs says of itself, nil for anything else.
	Btrfs *BtrfsMember
	// Needs says what its filesystem has on other devices and can't be mounted
	// without, such as "an external journal"; "" for nothing.
	Needs string
	// Journal is the UUID of the external journal of an ext3 or ext4 that has one; "" for none.
	Journal string
	// DataAt is the offset in bytes of something that is not zero where no
	// signature was found; -1 for none, and where Inspect didn't look.
	DataAt int64
	// sampled is set when Inspect has looked all over the device.
	sampled bool
}

// String lists what there is.
func (c *Contents) String() string {
	var names []string
	for _, s := range c.Signatures {
		names = append(names, s.String())
	}
	switch {
	case len(names) > 0:
		return strings.Join(names, ", ")
	case c.DataAt >= 0:
		return fmt.Sprintf("unknown data at offset %#x", c.DataAt)
	case c.sampled:
		return "nothing (it is blank)"
	}
	return "nothing that is known"
}

// Verdict is what a device is to be taken for.
type Verdict struct {
	Kind Kind
	// Signature is the one that decided; none for Blank, and where only data was found.
	Signature Signature
}

// weight orders the kinds: what a device is to be taken for is the first of
// these that it shows. A member may show a filesystem inside, and a disk with
// a filesystem may have the remains of a partition table.
var weight = []Kind{Member, Filesystem, Swap, Dump, PartitionTable, Unknown}

// Verdict weighs the signatures.
func (c *Contents) Verdict() Verdict {
	for _, kind := range weight {
		for _, s := range c.Signatures {
			if s.Kind == kind {
				return Verdict{kind, s}
			}
		}
	}
	if c.sampled && c.DataAt < 0 {
		return Verdict{Kind: Blank}
	}
	return Verdict{Kind: Unknown}
}

// memberOf says what a member is a part of.
func (v Verdict) memberOf() string {
	if what := membership(v.Signature.Type); what != "" {
		return what
	}
	return "something else"
}

// MountTypes are the names under which a filesystem's drivers are known to mount(2), the
// best one first.
func (s Signature) MountTypes() []string {
	switch s.Type {
	case "ext2", "ext3":
		// ext4's driver serves them, where it is built to.
		return []string{s.Type, "ext4"}
	case "ntfs":
		return []string{"ntfs3"} // the driver called ntfs only read, before 6.9
	}
	return []string{s.Type}
}

// Probe says what a device or image of size bytes holds. It reads some 300 kB at
// the beginning and the end, and the places where known formats keep something.
// Finding nothing doesn't make a device blank: see [Inspect].
func Probe(r io.ReaderAt, size int64) (Contents, error) {
	c := Contents{Size: size, DataAt: -1}
	m, err := newMedium(r, size)
	if err != nil {
		return c, err
	}
	// First, since what a partition holds isn't the disk's.
	m.table = readTable(m)
	c.Table = m.table
	c.Btrfs, c.Needs, c.Journal = readBtrfs(m.head), needs(m.head), journalOf(m.head)
	for _, p := range probers {
		if s, ok := p(m); ok {
			c.add(s)
		}
	}
	for _, g := range magics {
		if m.has(g.offset, g.magic) {
			c.add(Signature{Kind: g.kind, Type: g.name})
		}
	}
	if len(c.Signatures) == 0 {
		if s, ok := probeLUKSCopy(m); ok {
			c.add(s)
		}
	}
	return c, m.err
}

// Inspect is Probe, and where that finds nothing, a look at places all over the
// device (see [Sample]): the one way to the verdict Blank.
func Inspect(r io.ReaderAt, size int64) (Contents, error) {
	c, err := Probe(r, size)
	if err != nil || len(c.Signatures) > 0 {
		return c, err
	}
	if c.DataAt, err = Sample(r, size); err != nil {
		return c, err
	}
	c.sampled = true
	return c, nil
}

// add adds a signature, the first of each type.
func (c *Contents) add(s Signature) {
	for _, f := range c.Signatures {
		if f.Type == s.Type {
			return
		}
	}
	c.Signatures = append(c.Signatures, s)
}

// probers know more than the type.
var probers = []func(*medium) (Signature, bool){
	probeMD, probeFirmwareRAID, probeDRBD, probeLVM, probeLUKS, probeZFS,
	probeDump, probeExt, probeXFS, probeBtrfs, probeBcachefs, probeF2FS, probeFAT, probeExFAT, probeNTFS,
	probeNILFS2, probeJFS, probeReiser, probeOCFS2, probeGFS2, probeEROFS, probeISO9660, probeMinix,
	probeSwap, probeTable,
}

func probeTable(m *medium) (Signature, bool) {
	if m.table == nil {
		return Signature{}, false
	}
	return Signature{Kind: PartitionTable, Type: m.table.Type}, true
}

func hasAt(b []byte, offset int, magic string) bool {
	return offset+len(magic) <= len(b) && string(b[offset:offset+len(magic)]) == magic
}

// FormatUUID prints 16 bytes as a UUID; all zeros is none.
func FormatUUID(b []byte) string {
	if len(bytes.TrimLeft(b[:16], "\x00")) == 0 {
		return ""
	}
	h := hex.EncodeToString(b[:16])
	return h[:8] + "-" + h[8:12] + "-" + h[12:16] + "-" + h[16:20] + "-" + h[20:]
}

// cString is the text up to the first NUL, with what is not UTF-8 replaced.
func cString(b []byte) string {
	if i := bytes.IndexByte(b, 0); i >= 0 {
		b = b[:i]
	}
	return strings.ToValidUTF8(string(b), "\ufffd")
}
