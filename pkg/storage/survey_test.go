package storage

import (
	"strings"
	"testing"

	"github.com/gokexec/gokexec/pkg/capture"
)

// A survey shows the devices of a target that is taken, and those of one that is refused.
func TestSurvey(t *testing.T) {
	for _, tt := range []struct {
		name    string
		target  string
		prepare func(*bench)
	}{
		{"survey-plain", "/var/crash", func(*bench) {}},
		{"survey-origin", "/data/crash", func(b *bench) {
			snapshots(b)
			onData(b, "dm-4")
		}},
		{"survey-luks", "/data/crash", func(b *bench) {
			luks(b, secret, pv('v'))
			b.mapped(1, "vg-var", lvm, []string{"0 4096 linear {dm-0} 2048"}, ext4())
			onData(b, "dm-1")
		}},
		{"survey-tmpfs", "/data/crash", func(b *bench) {
			b.mount("30 22 0:60 / /data rw - tmpfs tmpfs rw")
			b.mkdir("data")
		}},
		{"survey-raw", "raw:/dev/dm-0", func(b *bench) {
			b.pvs(1)
			b.mapped(0, "vg-dump", lvm, []string{"0 4096 linear {sda2} 2048"})
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := newBench(t)
			tt.prepare(b)
			target, err := capture.ParseTarget(tt.target)
			if err != nil {
				t.Fatal(err)
			}
			s, err := b.Survey(t.Context(), target)
			if err != nil {
				t.Fatal(err)
			}
			golden(t, tt.name, s)
			if strings.Contains(text(t, s), secret) {
				t.Error("the key is in it")
			}
		})
	}
}
