package main

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gokexec/gokexec/pkg/advice"
	"github.com/gokexec/gokexec/pkg/capture"
	"github.com/gokexec/gokexec/pkg/storage"
)

// oneDisk is a tree with a blank disk of 2 MiB, /dev/vda.
func oneDisk(t *testing.T) string {
	t.Helper()
	root := t.TempDir()
	const place = "sys/devices/pci0000:00/0000:00:05.0/virtio2/block/vda"
	for name, text := range map[string]string{
		"dev/vda": string(make([]byte, 2<<20)), place + "/size": "4096\n", place + "/dev": "8:1\n", place + "/ro": "0\n",
		"proc/swaps": "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n", "proc/self/mountinfo": "22 1 8:9 / / rw - ext4 /dev/sda1 rw\n",
	} {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, link := range []string{"sys/class/block/vda", "sys/dev/block/8:1"} {
		path := filepath.Join(root, link)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink("../../../"+place, path); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

func TestRoomFinding(t *testing.T) {
	machine := storage.NewMachine(oneDisk(t))
	for _, tt := range []struct {
		target string
		size   int64
		level  advice.Level
		detail string
	}{
		{"raw:/dev/vda", 1 << 20, advice.OK, "a dump of level 31 takes about 1.0 MiB now, and raw:/dev/vda has room for 2.0 MiB"},
		{"raw:/dev/vda", 3 << 20, advice.Warning, "raw:/dev/vda has room for 2.0 MiB: a dump of level 31 takes about 3.0 MiB now"},
		{"raw:/dev/vdb", 1 << 20, advice.Unknown, "the room of raw:/dev/vdb is not known"},
	} {
		target, err := capture.ParseTarget(tt.target)
		if err != nil {
			t.Fatal(err)
		}
		f := roomFinding(context.Background(), machine, &capture.Config{}, target, tt.size, 31)
		if f.Level != tt.level || !strings.Contains(f.Detail, tt.detail) || (f.Remedy == "") != (tt.level == advice.OK) {
			t.Errorf("a dump of %d bytes on %s: %+v; want %v, %q", tt.size, tt.target, f, tt.level, tt.detail)
		}
	}
}

// A machine whose memory can't be looked at is no failure, and nothing is said where no target is known.
func TestRoomUnknown(t *testing.T) {
	b := newBench(t)
	b.run("check")
	if strings.Contains(b.stdout.String(), "dump size") {
		t.Errorf("gokexec check without a target: %s", &b.stdout)
	}
	b.run("check", "--target", "raw:/dev/none")
	if !strings.Contains(b.stdout.String(), "unknown  dump size: can't be estimated: ") {
		t.Errorf("gokexec check --target: %s", &b.stdout)
	}
}
