package reservation

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/gokexec/gokexec/pkg/cmdline"
	"github.com/gokexec/gokexec/pkg/memmap"
)

// ErrSyntax is wrapped by every complaint about a value of crashkernel=.
var ErrSyntax = errors.New("bad value of crashkernel=")

// Kind is the suffix of a value: what it reserves.
type Kind string

// The kinds.
const (
	Plain Kind = ""      // below 4 GiB where there is room, else above
	High  Kind = ",high" // anywhere, from the top
	Low   Kind = ",low"  // below 4 GiB, beside High
	CMA   Kind = ",cma"  // lent to user space until the crash (Linux 6.17)
)

// Span is a size for machines whose RAM is at least From and below To bytes.
type Span struct {
	From, To uint64 // To is 0 without a bound
	Size     uint64
}

// Value is one value of crashkernel=, as the kernel reads it (kernel/crash_reserve.c,
// __parse_crashkernel).
type Value struct {
	Spans  []Span // of a plain size one, for every machine
	Ranged bool   // it was written with ranges
	Kind   Kind
	At     bool // at Offset, and nowhere else
	Offset memmap.PhysAddr
}

// maxSpans bounds the ranges of a value; the longest default of a distribution has 11.
const maxSpans = 64

// Parse reads the value of one crashkernel= parameter: SIZE[@OFFSET], SIZE,high, SIZE,low, SIZE,cma or
// FROM-[TO]:SIZE[,...][@OFFSET].
func Parse(text string) (Value, error) {
	v, err := parse(text)
	if err != nil {
		return Value{}, fmt.Errorf("%w: %.200q: %w", ErrSyntax, text, err)
	}
	return v, nil
}

func parse(text string) (v Value, err error) {
	if strings.Contains(text, ":") {
		return parseRanges(text)
	}
	for _, kind := range []Kind{High, Low, CMA} {
		if rest, found := strings.CutSuffix(text, string(kind)); found {
			v.Kind, text = kind, rest
			break
		}
	}
	size, rest, err := memparse(text)
	if err != nil {
		return v, err
	}
	v.Spans = []Span{{Size: size}}
	if v.Kind != Plain && rest != "" {
		return v, fmt.Errorf("%q before %q", rest, v.Kind)
	}
	return v, v.parseOffset(rest)
}

func parseRanges(text string) (v Value, err error) {
	v.Ranged = true
	for {
		s, rest, err := parseSpan(text)
		if err != nil {
			return v, err
		}
		if v.Spans = append(v.Spans, s); len(v.Spans) > maxSpans {
			return v, fmt.Errorf("more than %d ranges", maxSpans)
		}
		more := false
		if text, more = strings.CutPrefix(rest, ","); !more {
			return v, v.parseOffset(rest)
		}
	}
}

func parseSpan(text string) (s Span, rest string, err error) {
	if s.From, rest, err = memparse(text); err != nil {
		return s, rest, err
	}
	rest, ok := strings.CutPrefix(rest, "-")
	if !ok {
		return s, rest, errors.New("a range has no '-'")
	}
	if !strings.HasPrefix(rest, ":") {
		if s.To, rest, err = memparse(rest); err != nil {
			return s, rest, err
		}
		if s.To <= s.From {
			return s, rest, errors.New("a range ends before it begins")
		}
	}
	if rest, ok = strings.CutPrefix(rest, ":"); !ok {
		return s, rest, errors.New("a range has no ':'")
	}
	s.Size, rest, err = memparse(rest)
	return s, rest, err
}

func (v *Value) parseOffset(rest string) error {
	if rest == "" {
		return nil
	}
	text, ok := strings.CutPrefix(rest, "@")
	if !ok {
		return fmt.Errorf("%q is neither an offset nor ,high, ,low or ,cma", rest)
	}
	offset, rest, err := memparse(text)
	if err == nil && rest != "" {
		err = fmt.Errorf("%q after the offset", rest)
	}
	v.At, v.Offset = true, memmap.PhysAddr(offset)
	return err
}

// memparse reads a number with a suffix, decimal, hexadecimal or octal (lib/cmdline.c, memparse). It demands
// a digit and a number that fits, which the kernel does not.
func memparse(text string) (n uint64, rest string, err error) {
	base, digits := uint64(10), text
	switch {
	case len(text) > 2 && (text[:2] == "0x" || text[:2] == "0X"):
		base, digits = 16, text[2:]
	case len(text) > 1 && text[0] == '0':
		base = 8
	}
	i := 0
	for ; i < len(digits); i++ {
		d := digit(digits[i])
		if d >= base {
			break
		}
		if n > (math.MaxUint64-d)/base {
			return 0, "", errors.New("a number does not fit 64 bits")
		}
		n = n*base + d
	}
	if i == 0 {
		return 0, "", errors.New("a number is missing")
	}
	rest = digits[i:]
	if rest == "" {
		return n, rest, nil
	}
	shift := strings.IndexByte("KMGTPE", rest[0]&^0x20)
	if shift < 0 {
		return n, rest, nil
	}
	shift = 10 * (shift + 1)
	if n > math.MaxUint64>>shift {
		return 0, "", errors.New("a number does not fit 64 bits")
	}
	return n << shift, rest[1:], nil
}

func digit(b byte) uint64 {
	switch {
	case '0' <= b && b <= '9':
		return uint64(b - '0')
	case 'a' <= b|0x20 && b|0x20 <= 'f':
		return uint64(b|0x20-'a') + 10
	}
	return 16
}

// ramRounding is what the kernel rounds the RAM up to before it looks for its range, since firmware keeps some
// for itself (kernel/crash_reserve.c, parse_crashkernel_mem).
const ramRounding = 128 << 20

// Size is what v reserves on a machine with that much RAM; 0 is nothing.
func (v Value) Size(ram uint64) uint64 {
	if !v.Ranged {
		return v.Spans[0].Size
	}
	ram = memmap.RoundUp(ram, ramRounding)
	for _, s := range v.Spans {
		if s.Size >= ram {
			return 0 // the kernel gives up here
		}
		if ram >= s.From && (s.To == 0 || ram < s.To) {
			return s.Size
		}
	}
	return 0
}

// String writes v so that Parse reads it back.
func (v Value) String() string {
	var b strings.Builder
	for i, s := range v.Spans {
		if i > 0 {
			b.WriteByte(',')
		}
		if v.Ranged {
			b.WriteString(sizeText(s.From) + "-")
			if s.To != 0 {
				b.WriteString(sizeText(s.To))
			}
			b.WriteByte(':')
		}
		b.WriteString(sizeText(s.Size))
	}
	b.WriteString(string(v.Kind))
	if v.At {
		b.WriteString("@" + sizeText(uint64(v.Offset)))
	}
	return b.String()
}

// sizeText writes a size with the largest suffix that divides it.
func sizeText(n uint64) string {
	if n == 0 {
		return "0"
	}
	const suffixes = "KMGTPE"
	i := 0
	for ; i < len(suffixes) && n%1024 == 0; i++ {
		n /= 1024
	}
	text := strconv.FormatUint(n, 10)
	if i > 0 {
		text += suffixes[i-1 : i]
	}
	return text
}

// Words are the crashkernel= parameters of a command line of which the kernel takes account: the last of
// each kind, and if one is plain, no other but ,cma (kernel/crash_reserve.c, get_last_crashkernel and parse_crashkernel).
func Words(c cmdline.Cmdline) ([]Value, error) {
	last := map[Kind]Value{}
	for _, a := range c.Args {
		if !cmdline.Same(a.Name, "crashkernel") {
			continue
		}
		v, err := Parse(a.Value)
		if err != nil {
			return nil, err
		}
		last[v.Kind] = v
	}
	var values []Value
	for _, kind := range []Kind{Plain, High, Low, CMA} {
		v, found := last[kind]
		_, plain := last[Plain]
		_, high := last[High]
		if found && (kind == Plain || kind == CMA || kind == High && !plain || kind == Low && high && !plain) {
			values = append(values, v)
		}
	}
	return values, nil
}
