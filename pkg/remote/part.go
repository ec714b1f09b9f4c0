package remote

// Bounds of the parts that large objects are sent in, in bytes. Those of S3 have 5 MiB at least, but for the last, and
// are 10,000 at most (Amazon S3 User Guide, "Amazon S3 multipart upload limits"). A part of a stream is in memory.
const (
	MinPart  = 5 << 20
	MaxPart  = 64 << 20
	MaxParts = 10000
)

// defaultPart is the size of a part if nothing else asks for larger ones.
const defaultPart = 8 << 20

// PartSize is the size of the parts, all equal, of an object of about size bytes; of 0, nothing is known. A fifth of
// what is possible stays, since an estimate may be too small.
func PartSize(size int64) int64 {
	part := int64(defaultPart)
	for part < MaxPart && size/part > MaxParts*4/5 {
		part *= 2
	}
	return part
}
