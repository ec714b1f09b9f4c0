package vm

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gokexec/gokexec/internal/vmlab"
	"github.com/gokexec/gokexec/pkg/capture"
	"github.com/gokexec/gokexec/pkg/kdumpfile"
)

// A machine gives back all crash memory but what is recommended for it, and with exactly that a dump is saved: a
// capture kernel that runs out of memory fails here. On the target, which keeps two dumps, one of two old ones
// makes place for the new one.
func TestVMRecommendedReservation(t *testing.T) {
	vmlab.MatrixOf(t, func(t *testing.T, k *vmlab.Kernel) {
		disk := diskWithDumps(t, "20200101T000000Z", "20200102T000000Z")
		cfg := crashMachine(t, k, "--set", "nvme", "--fstype", "ext4", "--final-action", "poweroff", "--keep-dumps", "2", "fs:UUID="+filesystemUUID+":/var/crash")
		cfg.Memory, cfg.CrashKernel, cfg.Disks = 1024, "320M", []vmlab.Disk{{Source: disk}}
		g := vmlab.Boot(t, cfg)
		files := []string{guestKernel, "--initrd", guestInitrd}
		estimate := func() (r struct {
			Crashkernel []string
			Recommended uint64 `json:"recommended_bytes"`
			Reserved    uint64 `json:"reserved_bytes"`
			Spare       uint64 `json:"spare_bytes"`
		}) {
			t.Helper()
			text := g.Must(append([]string{gokexec, "estimate", "--json"}, files...)...)
			if err := json.Unmarshal([]byte(text), &r); err != nil {
				t.Fatalf("estimate --json: %v: %s", err, text)
			}
			return r
		}
		before := estimate()
		if before.Reserved != 320<<20 || before.Recommended+before.Spare != before.Reserved || before.Recommended < 64<<20 {
			t.Fatalf("estimate = %+v; want 320 MiB reserved, and what is not recommended to spare", before)
		}
		t.Logf("%s", strings.TrimSpace(g.Must(append([]string{gokexec, "estimate", "--shrink"}, files...)...)))
		if after := estimate(); after.Reserved != before.Recommended || after.Spare != 0 || after.Recommended != before.Recommended {
			t.Fatalf("estimate after --shrink = %+v; before %+v", after, before)
		}
		g.Must(gokexec, "load", "--crash", guestKernel, "--initrd", guestInitrd, "--append", k.ConsoleArg())
		if r := g.Run(append([]string{gokexec, "estimate", "--shrink"}, files...)...); r.Code != 0 || !strings.Contains(r.Stdout, "nothing to give back") {
			t.Errorf("a second --shrink: exit code %d, %s%s", r.Code, r.Stdout, r.Stderr)
		}
		if r := g.Run(gokexec, "check", guestKernel, "--initrd", guestInitrd); !strings.Contains(r.Stdout, "ok       reservation: ") {
			t.Errorf("check:\n%s%s", r.Stdout, r.Stderr)
		}
		g.Crash()
		if end := g.WaitEnd(); end.Reason != "guest-shutdown" {
			t.Fatalf("the machine ended by %q with %d MiB of crash memory; want guest-shutdown, the final action", end.Reason, before.Recommended>>20)
		}
		out := t.TempDir()
		run(t, "debugfs", "-R", "rdump /var/crash "+out, disk)
		var dumps []string
		for _, name := range []string{"20200101T000000Z", "20200102T000000Z"} {
			_, err := os.Stat(filepath.Join(out, "crash", name, capture.VMCoreName))
			if gone := os.IsNotExist(err); gone != (name == "20200101T000000Z") {
				t.Errorf("the memory of the old dump %s is gone: %t", name, gone)
			}
			if _, err := os.Stat(filepath.Join(out, "crash", name, capture.LogName)); err != nil {
				t.Errorf("the log of an old dump: %v", err)
			}
		}
		dirs, err := filepath.Glob(filepath.Join(out, "crash", "*"))
		for _, dir := range dirs {
			if !strings.HasPrefix(filepath.Base(dir), "2020") {
				dumps = append(dumps, dir)
			}
		}
		if err != nil || len(dumps) != 1 {
			t.Fatalf("/var/crash holds %v, %v; want one new dump", dirs, err)
		}
		result := checkDumpDir(t, dumps[0], func(kdumpfile.Dump) {})
		t.Logf("%s: %s: of %d MiB that the capture kernel had, at least %d MiB were available", k.Name, before.Crashkernel,
			result.Memory.MemTotalBytes>>20, result.Memory.MinMemAvailableBytes>>20)
	}, "bookworm-cloud", "backports-cloud", "trixie-generic", "trixie-arm64")
}

// diskWithDumps is an ext4 with old dumps in /var/crash.
func diskWithDumps(t *testing.T, names ...string) string {
	t.Helper()
	root := t.TempDir()
	for _, name := range names {
		dir := filepath.Join(root, "var/crash", name)
		if err := os.MkdirAll(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		for file, text := range map[string]string{capture.LogName: "log\n", capture.VMCoreName: strings.Repeat("x", 1<<20),
			capture.ResultName: fmt.Sprintf("{%q: %q, %q: %q}\n", "outcome", capture.Complete, "capture_time", "2020-01-02T03:04:05Z")} {
			if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	disk := emptyDisk(t, "dumps.img", 2<<30)
	run(t, "mke2fs", "-q", "-t", "ext4", "-U", filesystemUUID, "-d", root, disk)
	return disk
}
