package dumptest

import "slices"

// Entry is a message given to a log.
type Entry struct {
	Seq               uint64 // set by the writer
	Time              uint64 // nanoseconds
	Text              []byte
	Facility          uint8
	Level             uint8
	Flags             uint8
	Caller            uint32
	Subsystem, Device string
	Lost              bool // set where the writer had no room for the text
}

// State is how far a writer of the ring came.
type State int

// The states of a descriptor.
const (
	Reserved State = iota
	Committed
	Finalized
	Reusable
)

// RingConfig chooses the size of a ring and the kernel's age.
type RingConfig struct {
	CountBits, SizeBits int
	PerfectFit          bool   // a block that fits the end exactly is not moved (since the end of 2025)
	ExecutionContext    bool   // printk_info has more members (CONFIG_PRINTK_EXECUTION_CTX)
	Start               uint64 // records written before, to start at later IDs and positions
	Claim               Claim
}

// Claim changes what is stored of the ring's geometry, where not 0.
type Claim struct {
	CountBits, SizeBits int
	TailBack            uint64 // tail_id is that much too low
	Descs               uint64 // virtual address of the descriptors
}

// Ring is a model of the writer of struct printk_ringbuffer (kernel/printk/printk_ringbuffer.c)
// for one CPU: it follows the documented life of descriptors and data blocks.
type Ring struct {
	RingConfig
	word, count, size  uint64
	mask, idMask       uint64
	head, tail         uint64 // IDs
	headLpos, tailLpos uint64
	descs              []Desc
	entries            []Entry // infos
	data               []byte
	img                *Image
	Fail               int // messages refused
}

// Desc is a descriptor.
type Desc struct {
	ID          uint64
	State       State
	Begin, Next uint64
}

// NewRing returns an empty ring for the image's machine.
func NewRing(m *Image, cfg RingConfig) *Ring {
	r := &Ring{RingConfig: cfg, img: m, word: uint64(m.Word), count: 1 << cfg.CountBits, size: 1 << cfg.SizeBits}
	r.mask = ^uint64(0) >> (64 - 8*m.Word)
	r.idMask = r.mask >> 2
	r.head = -(r.count + 1) & r.idMask
	r.tail = r.head
	r.headLpos = -r.size & r.mask
	r.tailLpos = r.headLpos
	r.descs = make([]Desc, r.count)
	r.entries = make([]Entry, r.count)
	r.data = make([]byte, r.size)
	r.descs[r.count-1] = Desc{r.head, Reusable, 1, 1}
	r.entries[0].Seq = -r.count
	for range cfg.Start {
		r.Add(Entry{Text: []byte("early")}, Finalized)
	}
	return r
}

func (r *Ring) desc(id uint64) *Desc { return &r.descs[id&(r.count-1)] }

// wrap is the logical position at index 0 of the wrap that lpos is in.
func (r *Ring) wrap(lpos uint64) uint64 { return lpos & r.mask &^ (r.size - 1) }

func (r *Ring) wrapped(begin, next uint64) bool {
	if r.PerfectFit {
		next--
	}
	return r.wrap(begin) != r.wrap(next)
}

func (r *Ring) nextLpos(begin, size uint64) uint64 {
	next := begin + size
	if r.wrapped(begin, next) {
		next = r.wrap(next) + size
	}
	return next & r.mask
}

func (r *Ring) blockSize(textLen int) uint64 {
	return (r.word + uint64(textLen) + r.word - 1) / r.word * r.word
}

// pushDataTail gives up blocks until the data tail is at lpos; false when a writer holds one.
func (r *Ring) pushDataTail(lpos uint64) bool {
	if lpos&1 != 0 {
		return true
	}
	for (lpos-r.tailLpos-1)&r.mask < r.size {
		id := r.img.readUlong(r.data[r.tailLpos&(r.size-1):])
		d := r.desc(id)
		if d.ID != id || d.Begin != r.tailLpos || d.State == Reserved || d.State == Committed {
			return false
		}
		d.State = Reusable
		r.tailLpos = d.Next
	}
	return true
}

// Add writes a message and leaves it in the given state; false when it is refused.
func (r *Ring) Add(e Entry, state State) bool {
	size := r.blockSize(len(e.Text))
	if size > r.size/2 {
		r.Fail++
		return false
	}
	if !r.Advance() {
		r.Fail++
		return false
	}
	id := r.head
	d, info := r.desc(id), &r.entries[id&(r.count-1)]
	d.ID, d.State = id, state
	if info.Seq == 0 && id&(r.count-1) != 0 {
		e.Seq = id & (r.count - 1)
	} else {
		e.Seq = info.Seq + r.count
	}
	*info = e
	info.Text = slices.Clone(e.Text)
	switch next := r.nextLpos(r.headLpos, size); {
	case len(e.Text) == 0:
		d.Begin, d.Next = 3, 3
	case !r.pushDataTail(next - r.size):
		d.Begin, d.Next = 1, 1
		info.Lost, info.Text = true, nil
	default:
		d.Begin, d.Next = r.headLpos, next
		r.headLpos = next
		r.fill(d, e.Text)
	}
	return true
}

// fill writes the block of a descriptor.
func (r *Ring) fill(d *Desc, text []byte) {
	i := d.Begin & (r.size - 1)
	r.img.putUlong(r.data[i:], d.ID)
	if r.wrapped(d.Begin, d.Next) {
		i = 0
		r.img.putUlong(r.data, d.ID)
	}
	copy(r.data[i+r.word:], text)
}

// Continue appends to the newest record, which must be Committed; false when it can't be extended.
func (r *Ring) Continue(text []byte) bool {
	d, info := r.desc(r.head), &r.entries[r.head&(r.count-1)]
	if d.State != Committed || d.Begin&1 != 0 || d.Next != r.headLpos {
		return false
	}
	joined := slices.Concat(info.Text, text)
	size := r.blockSize(len(joined))
	if size > r.size/2 {
		return false
	}
	next := r.nextLpos(d.Begin, size)
	d.State = Reserved
	ok := r.pushDataTail(next - r.size)
	d.State = Committed
	if !ok {
		return false
	}
	d.Next, r.headLpos = next, next
	info.Text = joined
	r.fill(d, joined)
	return true
}

// Expect returns what a reader should find, oldest first.
func (r *Ring) Expect() []Entry {
	var out []Entry
	for id := r.tail; ; id = (id + 1) & r.idMask {
		if d := r.desc(id); d.ID == id && (d.State == Committed || d.State == Finalized) {
			out = append(out, r.entries[id&(r.count-1)])
		}
		if id == r.head {
			return out
		}
	}
}

// Desc returns the descriptor of the n-th newest record, 0 being the newest, to be damaged.
func (r *Ring) Desc(n int) *Desc { return r.desc(r.head - uint64(n)) }

// Data returns the text ring, to be damaged.
func (r *Ring) Data() []byte { return r.data }

// Advance gives up the oldest descriptor if the ring is full and moves head_id, which is where
// desc_reserve is before it takes over the descriptor. False when a writer holds the oldest.
func (r *Ring) Advance() bool {
	id := (r.head + 1) & r.idMask
	if (id-r.count)&r.idMask == r.tail {
		t, after := r.desc(r.tail), r.desc(r.tail+1)
		if t.State < Finalized || after.State < Finalized || !r.pushDataTail(t.Next) {
			return false
		}
		t.State = Reusable
		r.tail = (r.tail + 1) & r.idMask
	}
	if prev := r.desc(r.head); prev.State == Committed {
		prev.State = Finalized // a new record ends continuation
	}
	r.head = id
	return true
}
