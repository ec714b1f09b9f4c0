package stack

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"strings"
)

// physicalVolume is one of LVM, as its label and metadata areas describe it.
type physicalVolume struct {
	uuid string // 32 characters
	// texts are what its metadata areas have: one, as a rule; none if it has no areas, or if they are ignored, so that
	// it tells nothing. free means that it has areas, and belongs to no volume group.
	texts []string
	free  bool
}

// What is written on a physical volume (lvm2: lib/label/label.h, lib/format_text/layout.h).
const (
	labelSectors   = 4
	labelID        = "LABELONE"
	labelType      = "LVM2 001"
	areaMagic      = " LVM2 x[5A%r0N*>"
	areaHeaderSize = 512
	ignoredArea    = 1
	maxAreas       = 8
)

// lvmChecksum is LVM's (lib/misc/crc.c, calc_crc; INITIAL_CRC): that of IEEE 802.3 without its first and last inversion.
func lvmChecksum(b []byte) uint32 {
	const initial = 0xf597a6cf
	return ^crc32.Update(^uint32(initial), crc32.IEEETable, b)
}

// lvmUUID spells a UUID of LVM as its tools and blkid(8) do.
func lvmUUID(id string) string {
	if len(id) != 32 {
		return id
	}
	return strings.Join([]string{id[:6], id[6:10], id[10:14], id[14:18], id[18:22], id[22:26], id[26:]}, "-")
}

// lvmID is a UUID without its hyphens; "" if it is none.
func lvmID(uuid string) string {
	id := strings.ReplaceAll(uuid, "-", "")
	if len(id) != 32 || !isLVMID(id) {
		return ""
	}
	return id
}

// isLVMID tells what IDs are made of (lib/uuid/uuid.c).
func isLVMID(s string) bool {
	return strings.Trim(s, "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ!#") == ""
}

// readPhysicalVolume reads the label of a device of so many bytes, and what its metadata areas have. A damaged area counts
// only if there is no other one.
func readPhysicalVolume(dev io.ReaderAt, size int64) (*physicalVolume, error) {
	pv, areas, err := readLabel(dev, size)
	if err != nil {
		return nil, err
	}
	var failed []error
	for _, a := range areas {
		text, used, err := a.read(dev, size)
		switch {
		case err != nil:
			failed = append(failed, fmt.Errorf("metadata area at %d: %w", a.start, err))
		case text != "":
			if len(pv.texts) == 0 || pv.texts[0] != text {
				pv.texts = append(pv.texts, text)
			}
		case used:
			pv.free = true
		}
	}
	if pv.free = pv.free && len(pv.texts) == 0; len(pv.texts) == 0 && len(failed) > 0 {
		return nil, errors.Join(failed...)
	}
	return pv, nil
}

// readLabel finds the label in one of the first four sectors (lib/label/label.c, _find_lvm_header).
func readLabel(dev io.ReaderAt, size int64) (*physicalVolume, []metadataArea, error) {
	b := make([]byte, labelSectors*sectorSize)
	if size < int64(len(b)) {
		return nil, nil, fmt.Errorf("label of LVM: a device of %d bytes", size)
	}
	if _, err := dev.ReadAt(b, 0); err != nil {
		return nil, nil, fmt.Errorf("label of LVM: %w", err)
	}
	failed := errors.New("label of LVM: there is none")
	for n := range labelSectors {
		sector := b[n*sectorSize:][:sectorSize]
		if string(sector[:8]) != labelID {
			continue
		}
		pv, areas, err := parseLabel(sector, uint64(n))
		if err == nil {
			return pv, areas, nil
		}
		failed = fmt.Errorf("label of LVM in sector %d: %w", n, err)
	}
	return nil, nil, failed
}

// metadataArea is where metadata is, in bytes.
type metadataArea struct{ start, size uint64 }

// parseLabel reads struct label_header, and struct pv_header with its two lists of areas.
func parseLabel(sector []byte, number uint64) (*physicalVolume, []metadataArea, error) {
	le := binary.LittleEndian
	if n := le.Uint64(sector[8:]); n != number {
		return nil, nil, fmt.Errorf("it calls itself that of sector %d", n)
	}
	if have, want := lvmChecksum(sector[20:]), le.Uint32(sector[16:]); have != want {
		return nil, nil, fmt.Errorf("checksum %#08x; its contents have %#08x", want, have)
	}
	at := le.Uint32(sector[20:])
	if string(sector[24:32]) != labelType || at < 32 || at > sectorSize-40 {
		return nil, nil, fmt.Errorf("type %q, with a header at %d", sector[24:32], at)
	}
	header := sector[at:]
	pv := &physicalVolume{uuid: string(header[:32])}
	if !isLVMID(pv.uuid) {
		return nil, nil, fmt.Errorf("%q is no UUID", pv.uuid)
	}
	_, rest, err := areaList(header[40:]) // data
	if err != nil {
		return nil, nil, err
	}
	areas, _, err := areaList(rest)
	return pv, areas, err
}

// areaList reads a list of struct disk_locn, which one without an offset ends.
func areaList(b []byte) (areas []metadataArea, rest []byte, err error) {
	for len(b) >= 16 {
		a := metadataArea{binary.LittleEndian.Uint64(b), binary.LittleEndian.Uint64(b[8:])}
		b = b[16:]
		switch {
		case a.start == 0:
			return areas, b, nil
		case len(areas) == maxAreas:
			return nil, nil, fmt.Errorf("more than %d areas", maxAreas)
		}
		areas = append(areas, a)
	}
	return nil, nil, errors.New("a list of areas without an end")
}

// read returns the text that is committed in an area: "" if it is ignored, which is not used, or belongs to no group.
// (lib/format_text/format-text.c: raw_read_mda_header, _read_metadata_location_vg.)
func (a metadataArea) read(dev io.ReaderAt, size int64) (text string, used bool, err error) {
	le := binary.LittleEndian
	h := make([]byte, areaHeaderSize)
	if a.start > uint64(size)-min(uint64(size), areaHeaderSize) {
		return "", false, fmt.Errorf("it is beyond the end of the device, which has %d bytes", size)
	}
	if _, err := dev.ReadAt(h, int64(a.start)); err != nil {
		return "", false, err
	}
	if have, want := lvmChecksum(h[4:]), le.Uint32(h); have != want {
		return "", false, fmt.Errorf("checksum %#08x; its contents have %#08x", want, have)
	}
	start, length := le.Uint64(h[24:]), le.Uint64(h[32:])
	switch version := le.Uint32(h[20:]); {
	case string(h[4:20]) != areaMagic || version != 1:
		return "", false, fmt.Errorf("magic %q, version %d", h[4:20], version)
	case start != a.start:
		return "", false, fmt.Errorf("it calls itself that at %d", start)
	case length <= areaHeaderSize || length > uint64(size)-start:
		return "", false, fmt.Errorf("it has %d bytes of a device of %d", length, size)
	}
	// The second raw_locn is of what is not committed.
	at, n, sum, flags := le.Uint64(h[40:]), le.Uint64(h[48:]), le.Uint32(h[56:]), le.Uint32(h[60:])
	switch {
	case flags&ignoredArea != 0:
		return "", false, nil
	case at == 0:
		return "", true, nil
	case at < areaHeaderSize || at >= length || n == 0 || n > min(length-areaHeaderSize, maxGroupText):
		return "", false, fmt.Errorf("text of %d bytes at %d of %d", n, at, length)
	}
	b := make([]byte, n)
	first := min(n, length-at)
	if _, err := dev.ReadAt(b[:first], int64(start+at)); err != nil {
		return "", false, err
	}
	if first < n {
		if _, err := dev.ReadAt(b[first:], int64(start+areaHeaderSize)); err != nil {
			return "", false, err
		}
	}
	if have := lvmChecksum(b); have != sum {
		return "", false, fmt.Errorf("text with checksum %#08x; want %#08x", have, sum)
	}
	if text = strings.TrimRight(string(b), "\x00"); text == "" {
		return "", false, errors.New("an empty text")
	}
	return text, true, nil
}
