package bootimage

import (
	"regexp"
	"testing"
)

// FuzzBannerRelease: a banner is what this regular expression finds.
func FuzzBannerRelease(f *testing.F) {
	re := regexp.MustCompile(`^([0-9]+\.[0-9]+[!-~]{0,63}) \(`)
	for _, s := range []string{"6.12.0-test (x", "6.12 (", "6.12", "6. (", ".1 (", "6.1 x", "6.1\x01 (", "a.1 (", "6.1 ", "06.00- (", "%s (%s", "6.1\x7f ("} {
		f.Add([]byte(s))
	}
	f.Add([]byte("6.1" + string(make([]byte, 64)) + " ("))
	f.Fuzz(func(t *testing.T, b []byte) {
		want := ""
		if m := re.FindSubmatch(b); m != nil {
			want = string(m[1])
		}
		if got := bannerRelease(b); got != want {
			t.Errorf("bannerRelease(%q) = %q; want %q", b, got, want)
		}
	})
}
