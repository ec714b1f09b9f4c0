package vm

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/gokexec/gokexec/internal/vmlab"
	"github.com/gokexec/gokexec/pkg/capture"
	"github.com/gokexec/gokexec/pkg/elfcore"
	"github.com/gokexec/gokexec/pkg/memmap"
)

const filesystemUUID = "6b1f2c1e-8a5d-4f0e-9d52-0c6f5a1d7e11"

// To a filesystem, found by its UUID, with whatever modules the kernel needs
// for disk and filesystem.
func TestVMCaptureFilesystem(t *testing.T) {
	vmlab.Matrix(t, func(t *testing.T, k *vmlab.Kernel) {
		disk := emptyDisk(t, "ext4.img", 2<<30)
		run(t, "mke2fs", "-q", "-t", "ext4", "-U", filesystemUUID, disk)
		cfg := crashMachine(t, k, "--set", "nvme", "--fstype", "ext4", "--final-action", "poweroff", "fs:UUID="+filesystemUUID+":/var/crash")
		cfg.Disks = []vmlab.Disk{{Size: 64 << 20}, {Source: disk}}
		g := vmlab.Boot(t, cfg)
		loadCrash(t, g)
		nonce := g.Plant(50)
		g.Crash()
		if end := g.WaitEnd(); end.Reason != "guest-shutdown" {
			t.Fatalf("the machine ended by %q; want guest-shutdown, the final action", end.Reason)
		}
		out := t.TempDir()
		run(t, "debugfs", "-R", "rdump /var/crash "+out, disk)
		dirs, err := filepath.Glob(filepath.Join(out, "crash", "*"))
		if err != nil || len(dirs) != 1 {
			t.Fatalf("/var/crash holds %v, %v; want one dump", dirs, err)
		}
		if result := checkFolder(t, dirs[0], nonce); len(result.Errors) > 0 {
			t.Errorf("errors = %q; want none", result.Errors)
		}
		if text := run(t, "debugfs", "-R", "show_super_stats -h", disk); !strings.Contains(text, "Filesystem state:         clean") {
			t.Error("the filesystem was not unmounted cleanly")
		}
	})
}

// checkFolder looks at the one dump in a directory, which has to be whole.
func checkFolder(t *testing.T, dir string, nonce *vmlab.Nonce) (result capture.Result) {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(dir, capture.ResultName))
	if err == nil {
		err = json.Unmarshal(b, &result)
	}
	if err != nil || result.Outcome != capture.Complete {
		t.Errorf("%s: %s %v; want complete", capture.ResultName, b, err)
	}
	f, err := os.Open(filepath.Join(dir, capture.VMCoreName))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	core, err := elfcore.New(f, result.VMCore.SizeBytes)
	if err != nil {
		t.Fatal(err)
	}
	if err := nonce.Check(func(b []byte, phys uint64) error {
		_, err := core.ReadPhysAt(b, memmap.PhysAddr(phys))
		return err
	}); err != nil {
		t.Errorf("nonce: %v", err)
	}
	if log, err := os.ReadFile(filepath.Join(dir, capture.LogName)); err != nil || !strings.Contains(string(log), "Kernel panic") {
		t.Errorf("%s lacks the panic, %v", capture.LogName, err)
	}
	return result
}

// A disk that is too small and one with a bad spot: each keeps the log and what
// it could hold, and the third gets all.
func TestVMCaptureCascade(t *testing.T) {
	k := vmlab.GetTestKernel(t, "trixie-cloud")
	// NVMe disks are found in any order; one of them, and virtio's, keep their names.
	cfg := crashMachine(t, k, "--set", "nvme", "--set", "virtio_blk", "raw:/dev/nvme0n1", "raw:/dev/vda", "raw:/dev/vdb")
	bad := emptyDisk(t, "bad.img", 1<<30)
	good := emptyDisk(t, "good.img", 1<<30)
	cfg.Disks = []vmlab.Disk{{Size: 100 << 20}}
	cfg.Args = append(cfg.Args,
		"-blockdev", "driver=raw,node-name=bad,file.driver=blkdebug,file.image.driver=file,file.image.filename="+bad+
			",file.inject-error.0.event=pwritev,file.inject-error.0.iotype=write,file.inject-error.0.sector=300000,file.inject-error.0.errno=5",
		"-device", "virtio-blk-pci,drive=bad",
		"-drive", "if=none,id=good,format=raw,cache=unsafe,file="+good, "-device", "virtio-blk-pci,drive=good")
	g := vmlab.Boot(t, cfg)
	loadCrash(t, g)
	nonce := g.Plant(50)
	g.Crash()
	if end := g.WaitEnd(); end.Reason != "guest-reset" {
		t.Fatalf("the machine ended by %q; want guest-reset", end.Reason)
	}
	whole := openDump(t, good)
	whole.checkNonce(t, nonce)
	if whole.result.Outcome != capture.Complete || len(whole.result.Errors) != 2 {
		t.Errorf("on the good disk: %+v; want complete, with the failures of the two others", whole.result)
	}
	for _, tt := range []struct{ name, disk, says string }{
		{"small", g.VM.Disk(0), "no space left"},
		{"bad", bad, "input/output error"},
	} {
		part := openDump(t, tt.disk)
		if !part.Incomplete || part.Name != capture.IncompleteName || part.result.Outcome != capture.Incomplete ||
			!strings.Contains(strings.Join(part.result.Errors, " "), tt.says) {
			t.Errorf("on the %s disk: entry %s, result %+v; want %s, %q", tt.name, part.Name, part.result, capture.IncompleteName, tt.says)
		}
		if part.log != whole.log {
			t.Errorf("on the %s disk: the log has %d bytes; want the whole one of %d", tt.name, len(part.log), len(whole.log))
		}
	}
}

// The only disk goes away in the midst: the failure action ends it, and the log
// is on the disk.
func TestVMCaptureUnplugged(t *testing.T) {
	k := vmlab.GetTestKernel(t, "trixie-cloud")
	cfg := crashMachine(t, k, "--set", "nvme", "--failure-action", "poweroff", "raw:/dev/nvme0n1")
	disk := emptyDisk(t, "gone.img", 1<<30)
	cfg.Disks = nil
	cfg.Args = append(cfg.Args, "-drive", "if=none,id=gone,format=raw,cache=unsafe,throttling.bps-write=20000000,file="+disk, "-device", "nvme,serial=gone,drive=gone")
	g := vmlab.Boot(t, cfg)
	loadCrash(t, g)
	g.Crash()
	// Into the memory's entry: what is saved so far is on the disk.
	deadline := time.Now().Add(2 * time.Minute)
	for allocated(t, disk) < 16<<20 {
		if time.Now().After(deadline) {
			t.Fatal("the capture did not save 16 MiB within 2 minutes")
		}
		time.Sleep(50 * time.Millisecond)
	}
	g.HMP("drive_del gone")
	if end := g.WaitEnd(); end.Reason != "guest-shutdown" {
		t.Fatalf("the machine ended by %q; want guest-shutdown, the failure action", end.Reason)
	}
	entries := readTar(t, disk)
	if _, found := entries[capture.IncompleteName]; !found || !strings.Contains(string(entries[capture.LogName]), "Kernel panic") {
		t.Errorf("the disk holds %d entries; want the log and %s", len(entries), capture.IncompleteName)
	}
}

// allocated is how many bytes of a sparse file are really there.
func allocated(t *testing.T, path string) int64 {
	t.Helper()
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		t.Fatal(err)
	}
	return st.Blocks * 512
}

func emptyDisk(t *testing.T, name string, size int64) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(path, size); err != nil {
		t.Fatal(err)
	}
	return path
}

func run(t *testing.T, argv ...string) string {
	t.Helper()
	out, err := exec.Command(argv[0], argv[1:]...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", strings.Join(argv, " "), err, out)
	}
	return string(out)
}
