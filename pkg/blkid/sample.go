package blkid

import (
	"fmt"
	"io"
	"slices"
)

// How Sample looks: reads of sampleSize bytes, of which no more than
// sampleGrid are spread evenly over the device.
const (
	sampleSize = 16 << 10
	sampleGrid = 256
	// sampleEnds is how much of the beginning and of the end is read whole.
	sampleEnds = 1 << 20
)

// formatPlaces are offsets in bytes where a format keeps something even if the
// beginning of the device is blank: VMFS, bcachefs and an LVM volume's data at 1
// and 2 MiB, a second LUKS2 header at up to 4 MiB, copies of ext4's superblock
// at 8 MiB (blocks of 1 KiB) and at 128 MiB and its odd multiples (of 4 KiB),
// copies of btrfs' at 64 MiB and 256 GiB.
var formatPlaces = []int64{
	1 << 20, 2 << 20, 4 << 20, 8 << 20, 64 << 20, 128 << 20, 3 * 128 << 20, 5 * 128 << 20, 7 * 128 << 20, 256 << 30,
}

// Sample looks for the first byte that isn't zero and returns its offset, or -1
// when everything that it looked at is zero. It looks at the first and the last
// MiB, at places where known formats keep their copies, and at 256 places
// spread evenly: at most some 6 MB in 400 reads, whatever the size.
func Sample(r io.ReaderAt, size int64) (int64, error) {
	buf := make([]byte, sampleSize)
	for _, offset := range samplePlaces(size) {
		b := buf[:min(sampleSize, size-offset)]
		if n, err := r.ReadAt(b, offset); n < len(b) {
			return 0, fmt.Errorf("read %d bytes at offset %#x: %w", len(b), offset, err)
		}
		if i := slices.IndexFunc(b, func(c byte) bool { return c != 0 }); i >= 0 {
			return offset + int64(i), nil
		}
	}
	return -1, nil
}

// samplePlaces are the offsets in the order in which they are read: upwards.
func samplePlaces(size int64) []int64 {
	var places []int64
	add := func(offset int64) {
		if offset = offset &^ 4095; offset >= 0 && offset < size {
			places = append(places, offset)
		}
	}
	for offset := int64(0); offset < sampleEnds; offset += sampleSize {
		add(offset)
	}
	for offset := max(0, size-sampleEnds); offset < size; offset += sampleSize {
		add(offset)
	}
	add(size - 1) // the rounding down must not leave out the last block
	for _, offset := range formatPlaces {
		add(offset)
	}
	for i := range int64(sampleGrid) {
		// Not i*size/grid, which overflows.
		add(size/sampleGrid*i + size%sampleGrid*i/sampleGrid)
	}
	slices.Sort(places)
	return slices.Compact(places)
}
