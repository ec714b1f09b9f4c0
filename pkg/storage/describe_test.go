package storage

import (
	"strings"
	"testing"

	"github.com/gokexec/gokexec/pkg/stack"
)

// What the capture kernel needs for a row.
func TestRowNeeds(t *testing.T) {
	for _, tt := range []struct {
		row                stack.Row
		modules, algorithm string
	}{
		{stack.Row{Type: "linear", Args: "@0 0"}, "", ""},
		{stack.Row{Type: "thin", Args: "@0 1"}, "dm-thin-pool", ""},
		{stack.Row{Type: "multipath", Args: "0 0 2 1 service-time 0 1 2 @0 1 1 service-time 0 1 2 @1 1 1"}, "dm-multipath dm-service-time", ""},
		{stack.Row{Type: "multipath", Args: "0 0 1 1 round-robin 0 1 1 @0 1000"}, "dm-multipath dm-round-robin", ""},
		{stack.Row{Type: "crypt", Args: "aes-cbc-essiv:sha256 $k 0 @0 4096"}, "dm-crypt", "aes-cbc-essiv:sha256"},
		{stack.Row{Type: "integrity", Args: "@0 0 4 J 2 block_size:4096 internal_hash:crc32c"}, "dm-integrity", "crc32c"},
	} {
		if got := strings.Join(modulesOf(tt.row), " "); got != tt.modules {
			t.Errorf("modules of %v: %q; want %q", tt.row, got, tt.modules)
		}
		if got := algorithm(tt.row); got != tt.algorithm {
			t.Errorf("algorithm of %v: %q; want %q", tt.row, got, tt.algorithm)
		}
	}
}
