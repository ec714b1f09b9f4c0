package capture

import (
	"errors"
	"strings"
	"syscall"
	"testing"
)

// The keys in crash memory are restored by the kernel, and the one that is needed must be among them.
func TestRestoreKey(t *testing.T) {
	for _, tt := range []struct {
		name    string
		kernel  bool // has the file
		mounted bool
		keys    map[string]int
		wantErr string
	}{
		{"there", true, true, map[string]int{"gokexec:c": 64}, ""},
		{"configfs is mounted first", true, false, map[string]int{"gokexec:c": 64}, ""},
		{"another key", true, true, map[string]int{"gokexec:d": 64}, "not among the keys that the crashed kernel left"},
		{"another size", true, true, map[string]int{"gokexec:c": 32}, "has 32 bytes"},
		{"another kernel", false, false, nil, "CONFIG_CRASH_DM_CRYPT"},
	} {
		s := newFakeSystem(t)
		s.keys = tt.keys
		if tt.kernel && tt.mounted {
			s.file(t, restoreKeysPath, "0")
		}
		if tt.kernel && !tt.mounted {
			s.mounted = func(point string) { s.file(t, restoreKeysPath, "0") }
		}
		if !tt.kernel {
			s.mountErr["configfs"] = syscall.ENOENT
		}
		sys := &stackSystem{s, nil}
		for range 2 { // of two targets
			err := sys.RestoreKey("gokexec:c", 64)
			if (err == nil) != (tt.wantErr == "") || err != nil && !strings.Contains(err.Error(), tt.wantErr) {
				t.Errorf("%s: %v; want %q", tt.name, err, tt.wantErr)
			}
		}
		if got := s.has("mount configfs /sys/kernel/config configfs "); got != (tt.kernel && !tt.mounted) {
			t.Errorf("%s: mounted: %v", tt.name, got)
		}
	}
	s := newFakeSystem(t)
	s.mountErr["configfs"] = syscall.EBUSY // by another program, and there is no such directory in it
	if err := (&stackSystem{s, nil}).RestoreKey("gokexec:c", 64); !errors.Is(err, syscall.ENOENT) {
		t.Errorf("RestoreKey = %v; want ENOENT", err)
	}
}
