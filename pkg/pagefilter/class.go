package pagefilter

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Class is why a page frame may be left out of a dump. Each has exactly one.
type Class uint8

// Classes of page frames.
const (
	Kept         Class = iota // the kernel's own, or not understood
	Zero                      // contains only zeroes; who reads the pages finds it out, not a Filter
	Cache                     // page cache
	PrivateCache              // page cache with private data of its filesystem (PG_private)
	User                      // anonymous memory of processes, and hugetlb pages
	Free                      // in the buddy allocator
	HWPoison                  // damaged memory: reading it is a machine check
	Offline                   // given back to the hypervisor: balloon, virtio-mem
	Unaccepted                // never accepted from the hypervisor (TDX, SEV-SNP), so never used

	NumClasses = int(Unaccepted) + 1
)

var classNames = [NumClasses]string{"kept", "zero", "cache", "private cache", "user", "free", "hwpoison", "offline", "unaccepted"}

// String returns the name of the class: "private cache".
func (c Class) String() string {
	if int(c) < NumClasses {
		return classNames[c]
	}
	return fmt.Sprintf("class %d", uint8(c))
}

// Level is a dump level, a sum of bits as makedumpfile -d takes it: 1 leaves out zero pages, 2 page
// cache without private data, 4 all page cache, 8 user memory, 16 free memory. Each, 0 too, leaves out
// pages that must not be read.
type Level uint8

// MaxLevel has all bits.
const MaxLevel Level = 31

// always is a bit that each level has: reading a damaged page, or one that the hypervisor has, may end the
// kernel that reads it.
const always = MaxLevel + 1

// levelBits are the bits of which each leaves a class out.
var levelBits = [NumClasses]Level{
	Kept: 0, Zero: 1, Cache: 2 | 4, PrivateCache: 4, User: 8, Free: 16,
	HWPoison: always, Offline: always, Unaccepted: always,
}

// Excludes reports whether the level leaves out the pages of a class.
func (l Level) Excludes(c Class) bool { return int(c) < NumClasses && (l|always)&levelBits[c] != 0 }

// excludesBut is Excludes where some classes are refused: these are kept. Level 0 then keeps all, as what
// contradicts the kernel in one class may be wrong about the others.
func (l Level) excludesBut(c Class, refused []Refusal) bool {
	if l == 0 && len(refused) > 0 {
		return false
	}
	return l.Excludes(c) && !slices.ContainsFunc(refused, func(r Refusal) bool { return r.Class == c })
}

// ParseLevel reads a dump level: a decimal number from 0 to 31.
func ParseLevel(s string) (Level, error) {
	n, err := strconv.ParseUint(s, 10, 8)
	if err != nil || n > uint64(MaxLevel) || len(s) > 1 && s[0] == '0' {
		return 0, fmt.Errorf("dump level %.20q: want a number from 0 to %d", s, MaxLevel)
	}
	return Level(n), nil
}

// maxLevels bounds a list of levels, as makedumpfile does.
const maxLevels = int(MaxLevel) + 1

// ParseLevels reads a list of dump levels with commas in between, "1,31". Each is for when the
// target has no room for a dump of the one before.
func ParseLevels(s string) ([]Level, error) {
	if s == "" {
		return nil, errors.New("no dump level: want a number from 0 to 31, or several with commas in between")
	}
	fields := strings.Split(s, ",")
	if len(fields) > maxLevels {
		return nil, fmt.Errorf("%d dump levels: at most %d are possible", len(fields), maxLevels)
	}
	levels := make([]Level, len(fields))
	for i, f := range fields {
		l, err := ParseLevel(f)
		if err != nil {
			return nil, err
		}
		levels[i] = l
	}
	return levels, nil
}
