package pagepack

import "encoding/binary"

// adler32 continues a checksum, RFC 1950 section 9.
func adler32(sum uint32, b []byte) uint32 {
	const mod = 65521
	s1, s2 := uint64(sum&0xffff), uint64(sum>>16)
	for len(b) >= 128 {
		const low = 0x00ff00ff00ff00ff
		var a0, a1, b0, b1 uint64
		for at := 0; at < 128; at += 8 {
			v := binary.LittleEndian.Uint64(b[at : at+8])
			b0 += a0
			b1 += a1
			a0 += v & low
			a1 += v >> 8 & low
		}
		const ones = 0x0001000100010001
		c := b0&0x0000ffff0000ffff + b0>>16&0x0000ffff0000ffff + b1&0x0000ffff0000ffff + b1>>16&0x0000ffff0000ffff
		s2 += 128*s1 + 8*(c&0xffffffff+c>>32) + 2*(a0*0x0004000300020001>>48) + a1*0x0007000500030001>>48
		s1 += a0*ones>>48 + a1*ones>>48
		b = b[128:]
		if len(b)&4095 < 128 {
			s1, s2 = s1%mod, s2%mod
		}
	}
	for _, v := range b {
		s1 += uint64(v)
		s2 += s1
	}
	return uint32(s2%mod)<<16 | uint32(s1%mod)
}
