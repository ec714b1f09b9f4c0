package pagefilter

import (
	"slices"
	"testing"
)

func TestParseLevels(t *testing.T) {
	for _, c := range []struct {
		in   string
		want []Level
	}{
		{"0", []Level{0}}, {"31", []Level{31}}, {"1,31", []Level{1, 31}}, {"31,16,0", []Level{31, 16, 0}},
		{"", nil}, {"32", nil}, {"-1", nil}, {"1,", nil}, {",1", nil}, {"1 ,2", nil}, {"0x1f", nil}, {"01", nil}, {"+1", nil}, {"256", nil},
	} {
		got, err := ParseLevels(c.in)
		if !slices.Equal(got, c.want) || (err != nil) != (c.want == nil) {
			t.Errorf("ParseLevels(%q) = %v, %v; want %v", c.in, got, err, c.want)
		}
	}
}

// The classes that each bit leaves out, as makedumpfile(8) lists them for -d.
func TestLevelExcludes(t *testing.T) {
	bits := map[Level][]Class{
		1: {Zero}, 2: {Cache}, 4: {Cache, PrivateCache}, 8: {User}, 16: {Free},
	}
	for level := range MaxLevel + 1 {
		want := map[Class]bool{HWPoison: true, Offline: true, Unaccepted: true}
		for bit, classes := range bits {
			if level&bit == 0 {
				continue
			}
			for _, c := range classes {
				want[c] = true
			}
		}
		for c := range Class(NumClasses) + 2 {
			if got := level.Excludes(c); got != want[c] {
				t.Errorf("Level(%d).Excludes(%v) = %v; want %v", level, c, got, want[c])
			}
		}
	}
}
