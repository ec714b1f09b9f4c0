package kallsyms

import (
	"bufio"
	"fmt"

	"github.com/gokexec/gokexec/pkg/vmcore"
)

// tokens are the 256 strings that names are made of.
type tokens struct {
	text  []byte
	start [256]uint16
	end   [256]uint32
}

// readTokens reads kallsyms_token_table, NUL-terminated strings, and kallsyms_token_index, where each begins.
func readTokens(m *vmcore.Reader, table, index uint64) (*tokens, error) {
	var at [256 * 2]byte
	if err := m.Bytes(at[:], index, "kallsyms_token_index"); err != nil {
		return nil, err
	}
	t := new(tokens)
	last := uint16(0)
	for i := range t.start {
		t.start[i] = m.Order.Uint16(at[2*i:])
		last = max(last, t.start[i])
	}
	// How long the last one is isn't told; it is no longer than a name.
	t.text = make([]byte, int(last)+maxName)
	n, err := m.ReadVirtAt(t.text, table)
	if n <= int(last) {
		return nil, &vmcore.ReadError{What: "kallsyms_token_table", Err: err}
	}
	t.text = t.text[:n]
	end := uint32(n)
	ends := make([]uint32, n) // where the string ends that a byte is in
	for i := n - 1; i >= 0; i-- {
		if t.text[i] == 0 {
			end = uint32(i)
		}
		ends[i] = end
	}
	for i, s := range t.start {
		t.end[i] = ends[s]
	}
	return t, nil
}

// nameReader reads names one after the other.
type nameReader struct {
	in     *bufio.Reader
	tokens *tokens
	offset uint32 // of the next in kallsyms_names
	name   []byte
}

// reader returns a reader of the names from an offset in kallsyms_names on, which reads so many bytes at once.
func (t *Table) reader(offset uint32, size int) *nameReader {
	// A name has two bytes of length at most, and as many tokens.
	left := uint64(t.count)*(2+maxName) - uint64(offset)
	if t.length > 0 {
		left = uint64(t.length - offset)
	}
	return &nameReader{in: bufio.NewReaderSize(t.mem.Section(t.names+uint64(offset), left, "kallsyms_names"), size), tokens: t.tokens, offset: offset}
}

// next returns the next symbol: its type, and its name. It is valid until the next one is asked for.
func (n *nameReader) next() ([]byte, error) {
	length, err := n.length()
	if err != nil {
		return nil, err
	}
	packed, err := n.in.Peek(length)
	if err != nil {
		return nil, err
	}
	n.name = n.name[:0]
	for _, c := range packed {
		n.name = append(n.name, n.tokens.text[n.tokens.start[c]:n.tokens.end[c]]...)
		if len(n.name) > maxName+1 {
			return nil, fmt.Errorf("it has more than %d bytes", maxName)
		}
	}
	n.offset += uint32(length)
	_, err = n.in.Discard(length)
	return n.name, err
}

// length reads how many tokens the next name has.
func (n *nameReader) length() (int, error) {
	b, err := n.in.ReadByte()
	if err != nil {
		return 0, err
	}
	n.offset++
	length := int(b)
	if b >= 0x80 { // since Linux 6.1 (kernel/kallsyms.c, kallsyms_expand_symbol)
		if b, err = n.in.ReadByte(); err != nil {
			return 0, err
		}
		n.offset++
		length = length&0x7f | int(b)<<7
	}
	if length > maxName {
		return 0, fmt.Errorf("it has %d tokens, more than %d", length, maxName)
	}
	return length, nil
}

// skip passes over the next symbol.
func (n *nameReader) skip() error {
	length, err := n.length()
	if err == nil {
		_, err = n.in.Discard(length)
		n.offset += uint32(length)
	}
	return err
}

// name returns the symbol of an index.
func (t *Table) name(i int) (Symbol, error) {
	n := t.reader(t.markers[i/markerStep], 4096)
	var err error
	for range i % markerStep {
		if err = n.skip(); err != nil {
			break
		}
	}
	var name []byte
	if err == nil {
		name, err = n.next()
	}
	if err != nil {
		return Symbol{}, fmt.Errorf("name %d: %w", i, err)
	}
	if len(name) == 0 {
		return Symbol{}, nil
	}
	return Symbol{Name: string(name[1:]), Type: name[0]}, nil
}
