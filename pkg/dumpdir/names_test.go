package dumpdir

import (
	"fmt"
	"testing"
)

// A name is that of a dump just if it was made for a time and a number.
func FuzzParseName(f *testing.F) {
	for _, name := range []string{"20260101T000000Z", "20260101T000000Z-2", "20260101T000000Z-02", "20260101T000000Z-1000", "00000101T000000Z", "2026-01-01"} {
		f.Add(name)
	}
	f.Fuzz(func(t *testing.T, name string) {
		when, number, ok := ParseName(name)
		made := when.Format(TimeLayout)
		if number > 0 {
			made = fmt.Sprintf("%s-%d", made, number)
		}
		if ok && (made != name || number < 0 || number > MaxNumber) {
			t.Errorf("%q is taken for dump %d of %v", name, number, when)
		}
		if !ok && made == name {
			t.Errorf("%q is not taken for a dump", name)
		}
	})
}
