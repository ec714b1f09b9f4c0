package kdumpfile

// Codec is the codec that the dump was to be written with; pages that did not get smaller are stored as they are.
func (h *Header) Codec() Codec {
	for c := CodecZlib; c <= CodecZstd; c++ {
		if h.Status&c.flags() != 0 {
			return c
		}
	}
	return CodecNone
}
