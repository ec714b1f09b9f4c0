package plan

import (
	"errors"
	"io/fs"
	"strings"
	"testing"

	"github.com/gokexec/gokexec/internal/imagetest"
	"github.com/gokexec/gokexec/internal/kexectest"
	"github.com/gokexec/gokexec/pkg/advice"
	"github.com/gokexec/gokexec/pkg/kcore"
	"github.com/gokexec/gokexec/pkg/machine"
)

// Only who lacks a permission is told to be root.
func TestReadHints(t *testing.T) {
	for _, tt := range []struct {
		name, iomem, want string
	}{
		{"hidden", "00000000-00000000 : System RAM\n00000000-00000000 : Reserved\n", "run as root"},
		{"backwards", "00100000-3fffffff : System RAM\n40000000-00000fff : Reserved\n", "--method file leaves it to the kernel"},
		{"no list", "garbage\n", "--method file leaves it to the kernel"},
		{"empty", "", "--method file leaves it to the kernel"},
	} {
		m := kexectest.NewMachine(t)
		m.Write("proc/iomem", tt.iomem)
		host := m.Host("x86_64")
		_, err := New(host, segmentSpec(machine.Crash, imagetest.SmallBzImage().Bytes()))
		if hint := advice.Hint(err); err == nil || !strings.Contains(hint, tt.want) || strings.Contains(hint, "root") != (tt.want == "run as root") {
			t.Errorf("%s: %v, hint %q; want %q", tt.name, err, hint, tt.want)
		}
		if f := CheckCrashMemory(host); f.Level != advice.Unknown || (f.Remedy == "run as root") != (tt.want == "run as root") {
			t.Errorf("%s: check says %+v", tt.name, f)
		}
	}
	for _, tt := range []struct {
		err  error
		want string
	}{
		{kcore.ErrNoCrashNotes, "CONFIG_CRASH_DUMP"}, {fs.ErrPermission, "run as root"}, {errors.New("odd"), "--method file"},
	} {
		host := kexectest.NewMachine(t).Host("x86_64")
		host.Dump, host.DumpErr = nil, tt.err
		if _, err := New(host, segmentSpec(machine.Crash, imagetest.SmallBzImage().Bytes())); !strings.Contains(advice.Hint(err), tt.want) {
			t.Errorf("%v: %v, hint %q; want %q", tt.err, err, advice.Hint(err), tt.want)
		}
	}
}
