package uname

import "testing"

func TestAtLeast(t *testing.T) {
	for _, tt := range []struct {
		release      string
		major, minor int
		want         bool
	}{
		{"6.12.107+deb13-cloud-amd64", 6, 12, true},
		{"6.12.107+deb13-cloud-amd64", 6, 8, true},
		{"6.12", 6, 13, false},
		{"6.8-rc1", 6, 8, true},
		{"7.0.0", 6, 12, true},
		{"5.19.17", 6, 1, false},
		{"6", 6, 0, false},
		{"six.1", 1, 0, false},
		{"", 0, 0, false},
	} {
		if got := AtLeast(tt.release, tt.major, tt.minor); got != tt.want {
			t.Errorf("AtLeast(%q, %d, %d) = %t; want %t", tt.release, tt.major, tt.minor, got, tt.want)
		}
	}
}
