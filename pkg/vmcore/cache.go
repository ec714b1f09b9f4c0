package vmcore

import "io"

// A Cache keeps lines of that many bytes, no more than a page of any machine, in sets of that many.
const (
	cachedLine = 4096
	cachedWays = 4
)

// Cache is a Memory that keeps what was read last of another, for readers of small structures that lie anywhere. Reads
// of more than a line go past it, so that a stream doesn't displace what is kept. It must not be used concurrently.
type Cache struct {
	Memory
	sets []cachedSet
}

// cachedSet has the lines of which the addresses are alike.
type cachedSet struct {
	lines [cachedWays]*[cachedLine]byte
	at    [cachedWays]uint64
	next  uint8 // the one to be replaced
}

// NewCache returns a cache of at most so many bytes, but at least 16 KiB.
func NewCache(m Memory, size int) *Cache {
	return &Cache{Memory: m, sets: make([]cachedSet, max(1, size/(cachedWays*cachedLine)))}
}

// ReadVirtAt is that of the Memory.
func (c *Cache) ReadVirtAt(b []byte, addr uint64) (int, error) {
	if len(b) > cachedLine {
		return c.Memory.ReadVirtAt(b, addr)
	}
	n := 0
	for n < len(b) {
		at := addr + uint64(n)
		off := at % cachedLine
		part := b[n:min(len(b), n+int(cachedLine-off))]
		line := c.line(at - off)
		if line == nil || at < addr {
			// A part of it may be there, and the error has to be that of this address.
			m, err := c.Memory.ReadVirtAt(b[n:], at)
			return n + m, err
		}
		n += copy(part, line[off:])
	}
	return n, nil
}

// line returns a line, nil if it can't be read.
func (c *Cache) line(addr uint64) *[cachedLine]byte {
	number := addr / cachedLine
	s := &c.sets[(number^number>>18)%uint64(len(c.sets))]
	for i, line := range s.lines {
		if line != nil && s.at[i] == addr {
			return line
		}
	}
	i := s.next
	if s.lines[i] == nil {
		s.lines[i] = new([cachedLine]byte)
	}
	s.at[i] = 1 // of no line, until all of it is there
	if n, err := c.Memory.ReadVirtAt(s.lines[i][:], addr); err != nil || n < cachedLine {
		return nil
	}
	s.at[i], s.next = addr, (i+1)%cachedWays
	return s.lines[i]
}

// Section returns n bytes from addr on as a stream. Its error is a *ReadError.
func (r *Reader) Section(addr, n uint64, what string) io.Reader {
	return &section{r, addr, n, what}
}

type section struct {
	mem  *Reader
	addr uint64
	left uint64
	what string
}

func (s *section) Read(b []byte) (int, error) {
	if s.left == 0 {
		return 0, io.EOF
	}
	b = b[:min(uint64(len(b)), s.left)]
	n, err := s.mem.ReadVirtAt(b, s.addr)
	s.addr += uint64(n)
	s.left -= uint64(n)
	if n > 0 || len(b) == 0 {
		return n, nil
	}
	return 0, &ReadError{s.what, err}
}
