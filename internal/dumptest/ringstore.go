package dumptest

import "cmp"

// Store lays the ring out in the image as the machine's kernel does, and exports what
// log_buf_vmcoreinfo_setup (kernel/printk/printk.c) exports.
func (r *Ring) Store() {
	m := r.img
	w := m.Word
	dev := m.Struct("dev_printk_info", Field{"subsystem", 1, 16}, Field{"device", 1, 48})
	members := []Field{
		{"seq", 8, 1}, {"ts_nsec", 8, 1}, {"text_len", 2, 1}, {"facility", 1, 1}, {"bits", 1, 1},
		{"caller_id", 4, 1},
	}
	if r.ExecutionContext {
		members = append(members, Field{"caller_id2", 4, 1}, Field{"comm", 1, 16})
	}
	info := m.Struct("printk_info", append(members, Field{"dev_info", 1, dev.Size})...)
	lpos := m.Struct("prb_data_blk_lpos", Field{"begin", w, 1}, Field{"next", w, 1})
	desc := m.Struct("prb_desc", Field{"state_var", w, 1}, Field{"text_blk_lpos", w, 2})
	descRing := m.Struct("prb_desc_ring", Field{"count_bits", 4, 1}, Field{"descs", w, 1}, Field{"infos", w, 1},
		Field{"head_id", w, 1}, Field{"tail_id", w, 1}, Field{"last_finalized_seq", w, 1})
	dataRing := m.Struct("prb_data_ring", Field{"size_bits", 4, 1}, Field{"data", w, 1},
		Field{"head_lpos", w, 1}, Field{"tail_lpos", w, 1})
	prb := m.Struct("printk_ringbuffer", Field{"desc_ring", w, descRing.Size / w},
		Field{"text_data_ring", w, dataRing.Size / w}, Field{"fail", w, 1})

	descs := m.Alloc(desc.Size*int(r.count), 8)
	infos := m.Alloc(info.Size*int(r.count), 8)
	for i := range r.descs {
		d, at := r.descs[i], descs+uint64(i*desc.Size)
		m.Ulong(at, uint64(d.State)<<(8*w-2)|d.ID)
		blk := at + uint64(desc.Offsets["text_blk_lpos"])
		m.Ulong(blk, d.Begin)
		m.Ulong(blk+uint64(w), d.Next)

		e, at := r.entries[i], infos+uint64(i*info.Size)
		put := func(name string, size int, v uint64) { m.Put(at+uint64(info.Offsets[name]), size, v) }
		put("seq", 8, e.Seq)
		put("ts_nsec", 8, e.Time)
		put("text_len", 2, uint64(len(e.Text)))
		put("facility", 1, uint64(e.Facility))
		put("bits", 1, uint64(m.bits(e.Flags, e.Level)))
		put("caller_id", 4, uint64(e.Caller))
		di := at + uint64(info.Offsets["dev_info"])
		copy(m.Bytes(di, 16), e.Subsystem)
		copy(m.Bytes(di+16, 48), e.Device)
	}
	data := m.Store(r.data, 8)

	rb := m.Alloc(prb.Size, 8)
	dr, tr := rb+uint64(prb.Offsets["desc_ring"]), rb+uint64(prb.Offsets["text_data_ring"])
	m.Put(dr+uint64(descRing.Offsets["count_bits"]), 4, uint64(cmp.Or(r.Claim.CountBits, r.CountBits)))
	m.Ulong(dr+uint64(descRing.Offsets["descs"]), cmp.Or(r.Claim.Descs, descs))
	m.Ulong(dr+uint64(descRing.Offsets["infos"]), infos)
	m.Ulong(dr+uint64(descRing.Offsets["head_id"]), r.head)
	m.Ulong(dr+uint64(descRing.Offsets["tail_id"]), (r.tail-r.Claim.TailBack)&r.idMask)
	m.Put(tr+uint64(dataRing.Offsets["size_bits"]), 4, uint64(cmp.Or(r.Claim.SizeBits, r.SizeBits)))
	m.Ulong(tr+uint64(dataRing.Offsets["data"]), data)
	m.Ulong(tr+uint64(dataRing.Offsets["head_lpos"]), r.headLpos)
	m.Ulong(tr+uint64(dataRing.Offsets["tail_lpos"]), r.tailLpos)
	m.Var("prb", w, rb)
	m.Var("log_buf", w, data)
	m.Var("log_buf_len", 4, uint64(len(r.data)))

	m.Export(prb, "desc_ring", "text_data_ring", "fail")
	m.Export(descRing, "count_bits", "descs", "infos", "head_id", "tail_id")
	m.Export(desc, "state_var", "text_blk_lpos")
	m.Export(lpos, "begin", "next")
	m.Export(info, "seq", "ts_nsec", "text_len", "caller_id", "dev_info")
	m.Export(dev, "subsystem", "device")
	m.Line("LENGTH(printk_info_subsystem)=16")
	m.Line("LENGTH(printk_info_device)=48")
	m.Export(dataRing, "size_bits", "data", "head_lpos", "tail_lpos")
	m.Line("SIZE(atomic_long_t)=%d", w)
	m.Line("OFFSET(atomic_long_t.counter)=0")
}

// bits packs the C bit fields flags:5 and level:3.
func (m *Image) bits(flags, level uint8) uint8 {
	if m.Order.Uint16([]byte{1, 0}) == 1 {
		return flags&31 | level<<5
	}
	return flags<<3 | level&7
}

func (m *Image) readUlong(b []byte) uint64 {
	if m.Word == 4 {
		return uint64(m.Order.Uint32(b))
	}
	return m.Order.Uint64(b)
}

func (m *Image) putUlong(b []byte, v uint64) {
	if m.Word == 4 {
		m.Order.PutUint32(b, uint32(v))
	} else {
		m.Order.PutUint64(b, v)
	}
}
