package decompress

import "encoding/binary"

// The branch filters turn the relative target of a call into an absolute one,
// which compresses better; here they are undone. They are defined by what
// liblzma does (src/liblzma/simple/arm64.c and riscv.c; in the kernel
// lib/xz/xz_dec_bcj.c).

// unfilter restores b, whose first byte is at pos, and returns how many bytes
// are final: the rest depends on what follows.
func (h *xzBlock) unfilter(b []byte, pos uint32) int {
	switch h.filter {
	case xzFilterARM64:
		return unfilterARM64(b, pos)
	case xzFilterRISCV:
		return unfilterRISCV(b, pos)
	}
	return len(b)
}

func unfilterARM64(b []byte, pos uint32) int {
	const (
		bl       = 0x25 << 26
		adrp     = 0x90000000
		adrpMask = 0x9f000000
	)
	n := len(b) &^ 3
	for i := 0; i < n; i += 4 {
		inst, pc := le.Uint32(b[i:]), pos+uint32(i)
		switch {
		case inst>>26 == bl>>26:
			inst = bl | (inst-pc>>2)&0x03ffffff
		case inst&adrpMask == adrp:
			page := inst>>29&3 | inst>>3&0x1ffffc
			if (page+0x20000)&0x1c0000 != 0 {
				continue // the filter leaves all beyond 512 MiB alone
			}
			page -= pc >> 12
			inst = inst&0x9000001f | page&3<<29 | page&0x3fffc<<3
			if page&0x20000 != 0 { // sign
				inst |= 0xe00000
			}
		}
		le.PutUint32(b[i:], inst)
	}
	return n
}

func unfilterRISCV(b []byte, pos uint32) int {
	const (
		jalRA    = 0xef // jal with the low bit of rd set
		auipc    = 0x17
		auipcX2  = 2<<7 | auipc
		lookOver = 8 // an auipc and the instruction that uses it
	)
	i := 0
	for ; i+lookOver <= len(b); i += 2 {
		pc := pos + uint32(i)
		switch {
		case b[i] == jalRA:
			if b[i+1]&0x0d != 0 { // rd is neither x1 nor x5
				continue
			}
			to := uint32(b[i+1]&0xf0)<<13 | uint32(b[i+2])<<9 | uint32(b[i+3])<<1
			to -= pc
			b[i+1] = b[i+1]&0x0f | byte(to>>8)&0xf0
			b[i+2] = byte(to>>16)&0x0f | byte(to>>7)&0x10 | byte(to<<4)&0xe0
			b[i+3] = byte(to>>4)&0x7f | byte(to>>13)&0x80
			i += 2
		case b[i]&0x7f == auipc:
			inst := le.Uint32(b[i:])
			if inst&0xe80 != 0 {
				// rd is neither x0 nor x2: not the filter's work, unless
				// it had to escape what looks like its work.
				next := le.Uint32(b[i+4:])
				if (inst<<8^(next-3))&0xf8003 != 0 {
					i += 4
					continue
				}
				le.PutUint32(b[i:], auipcX2|next<<12)
				le.PutUint32(b[i+4:], inst&0xfffff000+next>>20)
			} else {
				rs1 := inst >> 27
				if (inst-0x3100)&0x3f80 >= rs1&0x1d {
					i += 2
					continue
				}
				to := binary.BigEndian.Uint32(b[i+4:]) - pc
				le.PutUint32(b[i:], auipc|rs1<<7|(to+0x800)&0xfffff000)
				le.PutUint32(b[i+4:], inst>>12|to<<20)
			}
			i += 6
		}
	}
	return min(i, len(b))
}
