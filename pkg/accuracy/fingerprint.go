package accuracy

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"hash"
	"io/fs"

	"github.com/gokexec/gokexec/pkg/elfcore"
	"github.com/gokexec/gokexec/pkg/kcore"
	"github.com/gokexec/gokexec/pkg/machine"
	"github.com/gokexec/gokexec/pkg/memmap"
	"github.com/gokexec/gokexec/pkg/plan"
	"github.com/gokexec/gokexec/pkg/record"
)

const (
	// fingerprintEnd is how much of either end of the crash memory is looked at,
	// in bytes. Behind its elfcorehdr, at the lower end, kexec_file_load puts the
	// purgatory with its digests, and boot_params with a new random seed.
	fingerprintEnd = 2 << 20

	// maxFingerprint bounds what a note makes us read.
	maxFingerprint = 32 << 20
)

// TakeFingerprint reads that of what is loaded now. The plan tells where the
// smaller segments are; it may be nil.
func TakeFingerprint(root fs.FS, header memmap.PhysAddr, host *machine.Host, p *plan.Plan) record.Fingerprint {
	region, found := host.CrashRegion()
	if !found || host.Iomem == nil {
		return record.Fingerprint{}
	}
	set := memmap.NewSet(region)
	if region.Size() > 2*fingerprintEnd {
		set = set.Minus(memmap.NewSet(memmap.Range{Start: region.Start + fingerprintEnd, End: region.End - fingerprintEnd}))
	}
	// The kernel rewrites the header in place.
	size := max(elfcore.HotplugSegmentSize(host.ElfcorehdrSize, memmap.PageSize), plan.PlainHeaderSize)
	if r, ok := memmap.RangeOf(header, size); ok {
		set = set.Minus(memmap.NewSet(r))
	}
	if p != nil {
		for _, s := range p.Segments {
			if s.Role == plan.RolePurgatory || s.Role == plan.RoleBootParams || s.Role == plan.RoleDTB {
				set = set.Union(memmap.NewSet(s.Range()))
			}
		}
	}
	f := record.Fingerprint{}
	for _, r := range set.Ranges() {
		f.Ranges = append(f.Ranges, record.CrashMemory{Start: r.Start, End: r.End})
	}
	sum, err := readFingerprint(f, root, host.Iomem)
	if err != nil {
		return record.Fingerprint{}
	}
	f.SHA256 = sum
	return f
}

// matches tells whether memory is as it was. What can't be compared matches.
func matchesMemory(f record.Fingerprint, root fs.FS, iomem *memmap.Iomem) bool {
	if f.SHA256 == "" {
		return true
	}
	sum, err := readFingerprint(f, root, iomem)
	return err != nil || sum == f.SHA256
}

func readFingerprint(f record.Fingerprint, root fs.FS, iomem *memmap.Iomem) (string, error) {
	k, err := kcore.OpenKcore(root, iomem)
	if err != nil {
		return "", err
	}
	defer k.Close()
	digest := sha256.New()
	buf := make([]byte, 256<<10)
	total := uint64(0)
	for _, m := range f.Ranges {
		r := memmap.Range{Start: m.Start, End: m.End}
		if total += r.Size(); total > maxFingerprint {
			return "", fmt.Errorf("the noted ranges have over %d bytes", maxFingerprint)
		}
		for r.Start < r.End {
			b := buf[:min(uint64(len(buf)), r.Size())]
			if _, err := k.ReadPhysAt(b, r.Start); err != nil {
				return "", err
			}
			hashPages(digest, b, r.Start)
			r.Start += memmap.PhysAddr(len(b))
		}
	}
	return hex.EncodeToString(digest.Sum(nil)), nil
}

// zeroPage is most of what is looked at.
var zeroPage [memmap.PageSize]byte

func hashPages(digest hash.Hash, b []byte, at memmap.PhysAddr) {
	for len(b) > 0 {
		page := b[:min(len(b), memmap.PageSize)]
		if !bytes.Equal(page, zeroPage[:len(page)]) {
			digest.Write(binary.LittleEndian.AppendUint64(nil, uint64(at)))
			digest.Write(page)
		}
		b = b[len(page):]
		at += memmap.PhysAddr(len(page))
	}
}

// FileHeader is where a kexec_file_load that has just been made has put its header,
// 0 if that can't be seen.
func FileHeader(root fs.FS, host *machine.Host) memmap.PhysAddr {
	region, found := host.CrashRegion()
	if !found || host.Iomem == nil {
		return 0
	}
	k, err := kcore.OpenKcore(root, host.Iomem)
	if err != nil {
		return 0
	}
	defer k.Close()
	at, err := k.FindFileHeader(region)
	if err != nil {
		return 0
	}
	return at
}
