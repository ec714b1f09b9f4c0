package main

import (
	"bytes"
	"encoding/binary"
	"slices"
)

// rpmTag names an entry of a header (rpm's include/rpm/rpmtag.h).
type rpmTag uint32

// The types of a header's entries.
const (
	rpmInt16       = 3
	rpmInt32       = 4
	rpmString      = 6
	rpmBin         = 7
	rpmStringArray = 8
	rpmI18NString  = 9
)

// rpmHeader is a header structure: an index of entries over a store of their data,
// big-endian, as lead, signature and header sections use it.
type rpmHeader struct {
	entries []rpmEntry
}

type rpmEntry struct {
	tag   rpmTag
	kind  uint32
	count uint32
	data  []byte
}

func (h *rpmHeader) add(tag rpmTag, kind uint32, count int, data []byte) {
	h.entries = append(h.entries, rpmEntry{tag, kind, uint32(count), data})
}

func (h *rpmHeader) text(tag rpmTag, s string) {
	h.add(tag, rpmString, 1, append([]byte(s), 0))
}

func (h *rpmHeader) i18n(tag rpmTag, s string) {
	h.add(tag, rpmI18NString, 1, append([]byte(s), 0))
}

func (h *rpmHeader) texts(tag rpmTag, list []string) {
	var b []byte
	for _, s := range list {
		b = append(append(b, s...), 0)
	}
	h.add(tag, rpmStringArray, len(list), b)
}

func (h *rpmHeader) bin(tag rpmTag, b []byte) { h.add(tag, rpmBin, len(b), b) }

func (h *rpmHeader) int32s(tag rpmTag, list ...uint32) {
	var b []byte
	for _, n := range list {
		b = binary.BigEndian.AppendUint32(b, n)
	}
	h.add(tag, rpmInt32, len(list), b)
}

func (h *rpmHeader) int16s(tag rpmTag, list ...uint16) {
	var b []byte
	for _, n := range list {
		b = binary.BigEndian.AppendUint16(b, n)
	}
	h.add(tag, rpmInt16, len(list), b)
}

// encode writes the header. The region, its first entry, says that all entries belong
// together: its data, behind all others, point back over the index.
func (h *rpmHeader) encode(region rpmTag) []byte {
	slices.SortStableFunc(h.entries, func(a, b rpmEntry) int { return int(a.tag) - int(b.tag) })
	var index, store bytes.Buffer
	entry := func(w *bytes.Buffer, values ...uint32) {
		for _, v := range values {
			_ = binary.Write(w, binary.BigEndian, v) // a Buffer takes all
		}
	}
	for _, e := range h.entries {
		align := map[uint32]int{rpmInt16: 2, rpmInt32: 4}[e.kind]
		for align > 0 && store.Len()%align != 0 {
			store.WriteByte(0)
		}
		entry(&index, uint32(e.tag), e.kind, uint32(store.Len()), e.count)
		store.Write(e.data)
	}
	count := uint32(len(h.entries) + 1)
	var out bytes.Buffer
	out.Write([]byte{0x8e, 0xad, 0xe8, 1, 0, 0, 0, 0})
	entry(&out, count, uint32(store.Len()+16))
	entry(&out, uint32(region), rpmBin, uint32(store.Len()), 16)
	out.Write(index.Bytes())
	out.Write(store.Bytes())
	entry(&out, uint32(region), rpmBin, -(count * 16), 16)
	return out.Bytes()
}
