package capture

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// The default of [Config.KeepFree]: whichever is less.
const (
	defaultFreePercent = 5
	defaultFreeBytes   = 1 << 30
)

// Space is the room in a filesystem, in bytes (statfs(2)).
type Space struct {
	Total int64
	// Available is what ordinary users may take. Where root has a reserve (ext4), it is
	// not counted: a dump is not what that is for.
	Available int64
}

// reserve is what a dump leaves free.
type reserve struct {
	percent int64 // of the filesystem's size; -1 for no part of it
	bytes   int64 // at most
}

// parseReserve reads "10%", a number of bytes with an optional K, M, G or T (powers of
// 1024), or "" for the default.
func parseReserve(s string) (reserve, error) {
	if s == "" {
		return reserve{defaultFreePercent, defaultFreeBytes}, nil
	}
	if percent, ok := strings.CutSuffix(s, "%"); ok {
		n, err := strconv.ParseUint(percent, 10, 7)
		if err != nil || n >= 100 {
			return reserve{}, fmt.Errorf("%q; want 0%% to 99%%", s)
		}
		return reserve{int64(n), math.MaxInt64}, nil
	}
	digits := strings.TrimRight(s, "KMGT")
	shift, ok := map[string]uint{"": 0, "K": 10, "M": 20, "G": 30, "T": 40}[s[len(digits):]]
	n, err := strconv.ParseUint(digits, 10, 62)
	if err != nil || !ok || n > math.MaxInt64>>shift {
		return reserve{}, fmt.Errorf("%q; want a size such as 512M or 2G, or a part such as 5%%", s)
	}
	return reserve{-1, int64(n) << shift}, nil
}

// of is the reserve of a filesystem, in bytes.
func (r reserve) of(s Space) int64 {
	if r.percent < 0 {
		return r.bytes
	}
	return min(s.Total/100*r.percent, r.bytes)
}

// Room is how much of a filesystem with that space a dump may take, in bytes.
func (c Config) Room(s Space) int64 { return max(s.Available-c.reserve().of(s), 0) }

// room is how much more may be written into a filesystem, in bytes. In one that
// can't say how full it is there is no end.
func (r reserve) room(sys Files, dir string) (int64, Space, error) {
	s, err := sys.Space(dir)
	if err != nil {
		return math.MaxInt64, s, err
	}
	return s.Available - r.of(s) - fullSlack, s, nil
}
