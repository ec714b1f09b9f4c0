package purgatory

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"testing"
)

// random returns n bytes that depend on the seed only.
func random(seed byte, n int) []byte {
	b := make([]byte, n)
	rand.NewChaCha8([32]byte{seed}).Read(b)
	return b
}

// segments returns the regions and the digest of the first n chunks.
func regionsOf(t testing.TB, memory []chunk) ([]Region, [32]byte) {
	t.Helper()
	var regions []Region
	var segments []Segment
	for _, c := range memory {
		regions = append(regions, Region{c.addr, c.memSize})
		segments = append(segments, Segment{c.data, c.memSize})
	}
	digest, err := Digest(segments)
	if err != nil {
		t.Fatal(err)
	}
	return regions, digest
}

func TestVerify(t *testing.T) {
	const (
		low  = 0x4000_0000
		high = 0x1_4567_8000 // above 4 GiB
	)
	var many []chunk
	for i := range uint64(MaxRegions) {
		many = append(many, chunk{low + i*0x20000, random(byte(i), int(i)*613), 0x1000 * (i + 3)})
	}
	two := []chunk{{high, random(1, 5000), 0x3000}, {low, random(2, 0x1000), 0x1000}}
	change := func(i int, off uint64) func([]chunk) {
		return func(memory []chunk) {
			c := &memory[i]
			c.data = append(bytes.Clone(c.data), make([]byte, c.memSize-uint64(len(c.data)))...)
			c.data[off] ^= 0x10
		}
	}
	swap := func(memory []chunk) {
		memory[1].data[0], memory[1].data[1] = memory[1].data[1], memory[1].data[0]
	}
	for _, test := range []struct {
		name    string
		memory  []chunk
		corrupt func([]chunk)
		skip    bool
		want    int
	}{
		{"nothing", nil, nil, false, 0},
		{"one block", []chunk{{low, random(3, 64), 64}}, nil, false, 0},
		{"zeros only", []chunk{{low, nil, 0x1000}}, nil, false, 0},
		{"empty region", []chunk{{low, random(4, 64), 64}, {low + 0x1000, nil, 0}, {low + 0x2000, random(5, 128), 128}}, nil, false, 0},
		{"two", two, nil, false, 0},
		{"sixteen", many, nil, false, 0},
		{"length over 32 bits of bits", []chunk{{low, []byte("x"), 0x2000_0040}}, nil, false, 0},
		{"first byte", two, change(0, 0), false, 1},
		{"last byte of data", two, change(0, 4999), false, 1},
		{"first zero", two, change(0, 5000), false, 1},
		{"last zero", two, change(0, 0x2fff), false, 1},
		{"last byte of the last", two, change(1, 0xfff), false, 1},
		{"swapped bytes", two, swap, false, 1},
		{"last of sixteen", many, change(15, 1), false, 1},
		{"corrupt but unchecked", two, change(0, 0), true, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			eachCore(t, func(t *testing.T, a arch, command []string, accel bool) {
				if test.name == "length over 32 bits of bits" && (command != nil || !accel) {
					return // slow
				}
				u := userRun{accel: accel}
				u.params.SkipChecks = test.skip
				u.params.Regions, u.params.Digest = regionsOf(t, test.memory)
				for _, c := range test.memory {
					c.data = bytes.Clone(c.data)
					u.memory = append(u.memory, c)
				}
				if test.corrupt != nil {
					test.corrupt(u.memory)
				}
				u.memory = dropEmpty(u.memory)
				if got := u.run(t, a, command); got.status != test.want {
					t.Errorf("verify() = %d; want %d", got.status, test.want)
				}
			})
		})
	}
}

// Every word of the digest counts.
func TestVerifyDigest(t *testing.T) {
	eachCore(t, func(t *testing.T, a arch, command []string, accel bool) {
		for i := range 32 {
			u := userRun{accel: accel, memory: []chunk{{0x4000_0000, random(6, 256), 256}}}
			u.params.Regions, u.params.Digest = regionsOf(t, u.memory)
			u.params.Digest[i] ^= 1 << (i % 8)
			if got := u.run(t, a, command); got.status != 1 {
				t.Errorf("verify() with byte %d of the digest changed = %d; want 1", i, got.status)
			}
		}
	})
}

func TestVerifyBackup(t *testing.T) {
	const src, dst = 0x4000_0000, 0x1_4567_8000
	data := random(7, 0x3000)
	for _, test := range []struct {
		srcOff, dstOff, size uint64
		corrupt, skip        bool
	}{
		{0, 0, 0x3000, false, false},
		{0, 0, 0, false, false},
		{0x10, 0x20, 0x2000, false, false},
		{8, 0, 0x1008, false, false},
		{1, 2, 0x1001, false, false},
		{0, 0, 1, false, false},
		{0, 3, 16, false, false},
		{0, 0, 0x3000, true, false}, // nothing is copied when the kernel won't be entered
		{0, 0, 0x3000, true, true},
	} {
		t.Run(fmt.Sprintf("%#x+%#x to %#x corrupt %v skip %v", test.srcOff, test.size, test.dstOff, test.corrupt, test.skip), func(t *testing.T) {
			eachCore(t, func(t *testing.T, a arch, command []string, accel bool) {
				u := userRun{accel: accel, memory: []chunk{{0x5000_0000, random(8, 64), 64}}, dump: Region{dst, 0x4000}}
				u.params.Regions, u.params.Digest = regionsOf(t, u.memory)
				u.params.SkipChecks = test.skip
				u.params.Backup = Backup{src + test.srcOff, test.size, dst + test.dstOff}
				u.memory = append(u.memory, chunk{src, data, 0x3000}, chunk{dst, bytes.Repeat([]byte{0xee}, 0x4000), 0x4000})
				want := result{0, bytes.Repeat([]byte{0xee}, 0x4000)}
				if test.corrupt {
					u.params.Digest[0]++
				}
				if test.corrupt && !test.skip {
					want.status = 1
				} else {
					copy(want.memory[test.dstOff:], data[test.srcOff:test.srcOff+test.size])
				}
				got := u.run(t, a, command)
				if got.status != want.status || !bytes.Equal(got.memory, want.memory) {
					t.Errorf("verify() = %d, memory right: %v; want %d, true", got.status, bytes.Equal(got.memory, want.memory), want.status)
				}
			})
		})
	}
}

// The machine code and Digest agree on any memory, and disagree when a bit of it
// changed.
func FuzzVerify(f *testing.F) {
	f.Add([]byte("data"), uint8(3), uint16(1), true, uint32(77))
	f.Add([]byte{}, uint8(1), uint16(0), false, uint32(0))
	a := arches[0]
	command, hasAccel := emulator(f, a)
	f.Fuzz(func(t *testing.T, data []byte, n uint8, extra uint16, accel bool, flip uint32) {
		data = data[:min(len(data), 1<<16)]
		u := userRun{accel: accel && hasAccel}
		for i := range uint64(n % (MaxRegions + 1)) {
			size := (uint64(len(data)) + uint64(extra)%2048*i + BlockSize - 1) / BlockSize * BlockSize
			u.memory = append(u.memory, chunk{0x4000_0000 + i*0x100_0000, append(bytes.Clone(data), byte(i))[:len(data)], size})
		}
		u.params.Regions, u.params.Digest = regionsOf(t, u.memory)
		u.memory = dropEmpty(u.memory)
		if got := u.run(t, a, command); got.status != 0 {
			t.Fatalf("verify() = %d; want 0", got.status)
		}
		if len(u.memory) == 0 {
			return
		}
		c := &u.memory[int(flip)%len(u.memory)]
		c.data = append(bytes.Clone(c.data), make([]byte, c.memSize-uint64(len(c.data)))...)
		c.data[uint64(flip)%c.memSize] ^= 1 << (flip % 8)
		if got := u.run(t, a, command); got.status != 1 {
			t.Fatalf("verify() with a bit changed = %d; want 1", got.status)
		}
	})
}

// eachCore runs a test on every architecture that can be run, with and without
// the SHA-256 instructions.
func eachCore(t *testing.T, f func(t *testing.T, a arch, command []string, accel bool)) {
	t.Helper()
	for _, a := range arches {
		t.Run(a.goarch, func(t *testing.T) {
			command, accel := emulator(t, a)
			f(t, a, command, false)
			if accel {
				f(t, a, command, true)
			}
		})
	}
}

// dropEmpty removes the chunks without memory, which a program can't have.
func dropEmpty(memory []chunk) []chunk {
	var kept []chunk
	for _, c := range memory {
		if c.memSize != 0 {
			kept = append(kept, c)
		}
	}
	return kept
}

func BenchmarkVerify(b *testing.B) {
	const size = 64 << 20
	for _, a := range arches {
		for _, accel := range []bool{false, true} {
			b.Run(fmt.Sprintf("%s/accel=%v", a.goarch, accel), func(b *testing.B) {
				command, has := emulator(b, a)
				if accel && !has {
					b.Skip("no SHA-256 instructions")
				}
				u := userRun{accel: accel, memory: []chunk{{0x4000_0000, nil, size}}}
				u.params.Regions, u.params.Digest = regionsOf(b, u.memory)
				b.SetBytes(size)
				for b.Loop() {
					b.StopTimer()
					cmd := u.start(b, a, command)
					b.StartTimer()
					if err := cmd.Run(); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}
