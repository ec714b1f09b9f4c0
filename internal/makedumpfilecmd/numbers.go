package makedumpfilecmd

import (
	"math"
	"strconv"
	"strings"
)

// blanks are what isspace(3) takes.
const blanks = " \t\n\v\f\r"

// atoi is atoi(3): the number that s begins with, 0 without one, cut down to an int.
func atoi(s string) int {
	s = strings.TrimLeft(s, blanks)
	negative := strings.HasPrefix(s, "-")
	if negative || strings.HasPrefix(s, "+") {
		s = s[1:]
	}
	end := strings.IndexFunc(s, func(r rune) bool { return r < '0' || r > '9' })
	if end < 0 {
		end = len(s)
	}
	n, err := strconv.ParseUint(s[:end], 10, 63)
	switch {
	case err != nil && end > 0:
		n = math.MaxInt64 // strtol stops there
		if negative {
			return 0
		}
	case negative:
		n = -n
	}
	return int(int32(uint32(n)))
}

// number is strtoul(3) with base 0: the number that s begins with, and what follows it.
func number(s string) (n uint64, rest string) {
	text := strings.TrimLeft(s, blanks)
	negative := strings.HasPrefix(text, "-")
	if negative || strings.HasPrefix(text, "+") {
		text = text[1:]
	}
	base := 10
	switch {
	case len(text) > 2 && strings.HasPrefix(strings.ToLower(text), "0x") && isDigit(text[2], 16):
		text, base = text[2:], 16
	case strings.HasPrefix(text, "0"):
		base = 8
	}
	end := 0
	for end < len(text) && isDigit(text[end], base) {
		end++
	}
	if end == 0 {
		return 0, s
	}
	n, err := strconv.ParseUint(text[:end], base, 64)
	if err != nil {
		n = math.MaxUint64
	} else if negative {
		n = -n
	}
	return n, text[end:]
}

func isDigit(c byte, base int) bool {
	_, err := strconv.ParseUint(string(c), base, 8)
	return err == nil
}

// size reads a number of bytes with a unit, K to E.
func size(s string) (n uint64, ok bool) {
	n, rest := number(s)
	if rest != "" {
		if i := strings.IndexByte("kmgtpe", rest[0]|0x20); i >= 0 {
			n, rest = n<<(10*(i+1)), rest[1:]
		}
	}
	return n, rest == "" && n != 0
}
