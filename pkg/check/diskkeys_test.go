package check

import (
	"os"
	"strings"
	"testing"

	"github.com/gokexec/gokexec/internal/kexectest"
	"github.com/gokexec/gokexec/pkg/advice"
	"github.com/gokexec/gokexec/pkg/machine"
	"github.com/gokexec/gokexec/pkg/plan"
)

func TestDiskKeys(t *testing.T) {
	const on, off = "CONFIG_KEXEC_FILE=y\nCONFIG_CRASH_DM_CRYPT=y\n", "CONFIG_KEXEC_FILE=y\n"
	one, two := []string{"gokexec:a"}, []string{"gokexec:a", "gokexec:b"}
	for _, tt := range []struct {
		name             string
		arch             string
		running, capture string // releases
		configs          []string
		there            bool // the directory in configfs
		keys             []string
		method           plan.Method
		want             advice.Level
		says             string
	}{
		{name: "no keys", arch: "aarch64", running: "6.12.1", want: advice.OK},
		{name: "configured so", arch: "x86_64", running: "7.3.4", configs: []string{"7.3.4", on}, keys: one, want: advice.OK},
		{name: "the directory is there", arch: "x86_64", running: "7.3.4", there: true, keys: one, want: advice.OK},
		{name: "configured otherwise", arch: "x86_64", running: "7.3.4", configs: []string{"7.3.4", off}, keys: one, want: advice.Failure, says: "the running kernel, 7.3.4,"},
		{name: "old", arch: "x86_64", running: "6.15.9", keys: one, want: advice.Failure, says: "Linux 6.16"},
		{name: "not known", arch: "x86_64", running: "7.3.4", keys: one, want: advice.Unknown},
		{name: "arm64", arch: "aarch64", running: "7.3.4", there: true, keys: one, want: advice.Failure, says: "x86_64 only"},
		{name: "kexec_load", arch: "x86_64", running: "7.3.4", there: true, keys: one, method: plan.Segments, want: advice.Failure, says: "kexec_load can't"},
		{name: "another capture kernel", arch: "x86_64", running: "7.3.4", capture: "7.2.1", there: true, configs: []string{"7.2.1", on}, keys: one, want: advice.OK},
		{name: "one without it", arch: "x86_64", running: "7.3.4", capture: "7.2.1", there: true, configs: []string{"7.2.1", off}, keys: one, want: advice.Failure, says: "the capture kernel, 7.2.1,"},
		{name: "an old one", arch: "x86_64", running: "7.3.4", capture: "6.12.1", there: true, keys: one, want: advice.Failure, says: "the capture kernel, 6.12.1,"},
		{name: "one not known", arch: "x86_64", running: "7.3.4", capture: "7.2.1", there: true, keys: one, want: advice.Unknown},
		{name: "two keys", arch: "x86_64", running: "7.3.4", capture: "7.3.4", there: true, keys: two, want: advice.OK},
		{name: "two keys before 7.3", arch: "x86_64", running: "7.2.1", capture: "7.2.1", there: true, keys: two, want: advice.Warning, says: "frees root's keyring too early"},
		{name: "too many", arch: "x86_64", running: "7.3.4", there: true, keys: make([]string, 129), want: advice.Failure, says: "at most 128"},
	} {
		m := kexectest.NewMachine(t)
		m.Remove("boot/config-6.12.1")
		for n := 0; n < len(tt.configs); n += 2 {
			m.Write("boot/config-"+tt.configs[n], tt.configs[n+1])
		}
		m.Write("proc/sys/kernel/osrelease", tt.running+"\n")
		if tt.there {
			m.Write(machine.DiskKeys+"/count", "0\n")
		}
		root := os.DirFS(m.Dir)
		host, err := machine.ReadHost(root, kexectest.Arch(t, tt.arch))
		if err != nil {
			t.Fatal(err)
		}
		if tt.method == plan.Auto {
			tt.method = plan.File
		}
		p := &plan.Plan{Kind: machine.Crash, Method: tt.method, Fallback: true}
		p.RequireDiskKeys(tt.keys)
		worst, said := advice.OK, ""
		for _, f := range DiskKeys(root, host, p, tt.capture) {
			if said += f.Detail; f.Level > worst {
				worst = f.Level
			}
			if f.Level >= advice.Warning && f.Remedy == "" {
				t.Errorf("%s: no remedy for %q", tt.name, f.Detail)
			}
		}
		if worst != tt.want || !strings.Contains(said, tt.says) || p.Fallback != (tt.keys == nil) {
			t.Errorf("%s: %v, %q; want %v, %q", tt.name, worst, said, tt.want, tt.says)
		}
	}
}
