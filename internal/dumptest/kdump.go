package dumptest

import (
	"bytes"
	"encoding/binary"
)

// KDump describes a file in makedumpfile's compressed format (diskdump_mod.h).
type KDump struct {
	Core      *Core  // the memory, by its Loads, and the notes; Flags and the like don't matter
	Uname     string // uname -m
	Release   string
	Version   int    // header_version
	Word      int    // bytes of long: 4 or 8
	Time64    bool   // time_t has 64 bits although long has 32
	Align8    int    // alignment of a 64-bit integer
	BlockSize int    // bytes
	PhysBase  uint64 // as in the sub header
	BasePage  uint64 // page frame that bit 0 of the bitmaps is for
	Pages     uint64 // max_mapnr; 0: as many as the memory has
	OneBitmap bool
	Status    uint32
	NoNotes   bool // the sub header doesn't point to the notes

	Split      bool
	Start, End uint64 // pages of this part

	// Pack packs page number n and returns the flags of its descriptor; nil stores it as it is.
	Pack func(n int, page []byte) ([]byte, uint32)
	// Exclude says which pages a filter left out.
	Exclude func(pfn uint64) bool
}

// page returns the contents of a page frame; nil if the machine had no such page.
func (k *KDump) page(pfn uint64) (page []byte) {
	start := (pfn + k.BasePage) * uint64(k.BlockSize)
	for _, l := range k.Core.Loads {
		from, to := max(start, l.Phys), min(start+uint64(k.BlockSize), l.Phys+uint64(len(l.Data)))
		if from >= to {
			continue
		}
		if page == nil {
			page = make([]byte, k.BlockSize)
		}
		copy(page[from-start:], l.Data[from-l.Phys:to-l.Phys])
	}
	return page
}

// MaxPage is one more than the highest page frame of the memory, less BasePage.
func (k *KDump) MaxPage() uint64 {
	if k.Pages != 0 {
		return k.Pages
	}
	max := uint64(0)
	for _, l := range k.Core.Loads {
		if end := (l.Phys+uint64(len(l.Data))+uint64(k.BlockSize)-1)/uint64(k.BlockSize) - k.BasePage; end > max {
			max = end
		}
	}
	return max
}

// Bytes returns the file.
func (k *KDump) Bytes() []byte {
	o := k.Core.Order
	notes := AppendNotes(nil, o, k.Core.Notes...)
	var info []byte
	for _, n := range k.Core.Notes {
		if n.Name == "VMCOREINFO" {
			info = n.Desc
		}
	}
	const subHeader = 104
	subBlocks := (subHeader + len(notes) + k.BlockSize - 1) / k.BlockSize
	bitmap := int(k.MaxPage()+7) / 8
	bitmapBlocks := (bitmap + k.BlockSize - 1) / k.BlockSize
	ram, stored := make([]byte, bitmapBlocks*k.BlockSize), make([]byte, bitmapBlocks*k.BlockSize)
	var descs, data []byte
	start, end := uint64(0), k.MaxPage()
	if k.Split {
		start, end = k.Start, k.End
	}
	type pageDesc struct {
		offset      uint64
		size, flags uint32
	}
	var list []pageDesc
	for pfn := range k.MaxPage() {
		page := k.page(pfn)
		if page == nil {
			continue
		}
		ram[pfn/8] |= 1 << (pfn % 8)
		if k.Exclude != nil && k.Exclude(pfn) {
			continue
		}
		stored[pfn/8] |= 1 << (pfn % 8)
		if pfn < start || pfn >= end {
			continue
		}
		packed, flags := page, uint32(0)
		if k.Pack != nil {
			packed, flags = k.Pack(len(list), page)
		}
		list = append(list, pageDesc{uint64(len(data)), uint32(len(packed)), flags})
		data = append(data, packed...)
	}
	bitmaps := append(ram, stored...)
	if k.OneBitmap {
		bitmaps = stored
	}
	at := (1+subBlocks)*k.BlockSize + len(bitmaps)
	ao := o.(binary.AppendByteOrder)
	for _, d := range list {
		descs = ao.AppendUint64(descs, d.offset+uint64(at+24*len(list)))
		descs = ao.AppendUint32(descs, d.size)
		descs = ao.AppendUint32(descs, d.flags)
		descs = ao.AppendUint64(descs, 0)
	}
	b := k.header(subBlocks, len(bitmaps)/k.BlockSize)
	noteAt := k.BlockSize + subHeader
	infoAt := noteAt + max(bytes.Index(notes, info), 0)
	b = append(b, k.subHeader(noteAt, len(notes), infoAt, len(info))...)
	b = append(b, notes...)
	b = pad(b, k.BlockSize)
	b = append(b, bitmaps...)
	b = append(b, descs...)
	return append(b, data...)
}

// header is the disk_dump_header, filled up to a block.
func (k *KDump) header(subBlocks, bitmapBlocks int) []byte {
	o := k.Core.Order.(binary.AppendByteOrder)
	b := o.AppendUint32([]byte("KDUMP   "), uint32(k.Version))
	for _, s := range []string{"Linux", "host", k.Release, "#1 SMP", k.Uname, "(none)"} {
		b = append(b, append([]byte(s), make([]byte, 65-len(s))...)...)
	}
	if k.Word == 8 || k.Time64 {
		b = pad(b, k.Align8)
		b = o.AppendUint64(o.AppendUint64(b, 1700000000), 0)
	} else {
		b = pad(b, 4)
		b = o.AppendUint32(o.AppendUint32(b, 1700000000), 0)
	}
	for _, v := range []uint32{k.Status, uint32(k.BlockSize), uint32(subBlocks), uint32(bitmapBlocks), uint32(k.MaxPage()), 0, 0, 0, 0, 1} {
		b = o.AppendUint32(b, v)
	}
	return pad(b, k.BlockSize)
}

// subHeader is the kdump_sub_header with the members of version 6, those that the version doesn't
// have being garbage.
func (k *KDump) subHeader(noteAt, notes, infoAt, info int) []byte {
	o := k.Core.Order.(binary.AppendByteOrder)
	var b []byte
	long := func(v uint64) {
		if k.Word == 4 {
			b = o.AppendUint32(b, uint32(v))
		} else {
			b = o.AppendUint64(pad(b, 8), v)
		}
	}
	long64 := func(v uint64) { b = o.AppendUint64(pad(b, k.Align8), v) }
	split := uint32(0)
	if k.Split {
		split = 1
	}
	since := func(version int, v uint64) uint64 {
		if k.Version < version {
			return 0x1122334455667788
		}
		return v
	}
	long(k.PhysBase)
	b = o.AppendUint32(b, 31)
	b = o.AppendUint32(b, uint32(since(2, uint64(split))))
	long(since(2, k.Start))
	long(since(2, k.End))
	if k.NoNotes {
		notes, noteAt, info, infoAt = 0, 0, 0, 0
	}
	long64(since(3, uint64(infoAt)))
	long(since(3, uint64(info)))
	long64(since(4, uint64(noteAt)))
	long(since(4, uint64(notes)))
	long64(since(5, 0))
	long(since(5, 0))
	long64(since(6, k.Start))
	long64(since(6, k.End))
	long64(since(6, k.MaxPage()))
	return append(b, make([]byte, 104-len(b))...)
}

// FlatRecord is a piece of a flattened file.
type FlatRecord struct {
	Offset int64
	Data   []byte
}

// Flatten returns the flattened stream (makedumpfile -F) of the records.
func Flatten(records ...FlatRecord) []byte {
	b := append([]byte("makedumpfile"), make([]byte, 4096-12)...)
	binary.BigEndian.PutUint64(b[16:], 1)
	binary.BigEndian.PutUint64(b[24:], 1)
	for _, r := range records {
		b = binary.BigEndian.AppendUint64(b, uint64(r.Offset))
		b = binary.BigEndian.AppendUint64(b, uint64(len(r.Data)))
		b = append(b, r.Data...)
	}
	return append(b, bytes.Repeat([]byte{0xff}, 16)...)
}

// FlattenFile is Flatten of a whole file in pieces of n bytes, of which the first comes last.
func FlattenFile(file []byte, n int) []byte {
	var records []FlatRecord
	for at := n; at < len(file); at += n {
		records = append(records, FlatRecord{int64(at), file[at:min(at+n, len(file))]})
	}
	return Flatten(append(records, FlatRecord{0, file[:min(n, len(file))]})...)
}
