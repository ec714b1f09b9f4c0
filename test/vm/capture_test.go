package vm

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/gokexec/gokexec/internal/vmlab"
	"github.com/gokexec/gokexec/pkg/capture"
	"github.com/gokexec/gokexec/pkg/kdumpfile"
	"github.com/gokexec/gokexec/pkg/memmap"
)

const filesystemUUID = "6b1f2c1e-8a5d-4f0e-9d52-0c6f5a1d7e11"

// To a filesystem, found by its UUID, with whatever modules the kernel needs
// for disk and filesystem. The dump is filtered and compressed, as it is by default, on
// two CPUs.
func TestVMCaptureFilesystem(t *testing.T) {
	vmlab.MatrixOf(t, func(t *testing.T, k *vmlab.Kernel) {
		disk := emptyDisk(t, "ext4.img", 2<<30)
		run(t, "mke2fs", "-q", "-t", "ext4", "-U", filesystemUUID, disk)
		cfg := crashMachine(t, k, "--report-timeout", "600", "--set", "nvme", "--fstype", "ext4", "--final-action", "poweroff", "fs:UUID="+filesystemUUID+":/var/crash")
		cfg.Disks, cfg.CPUs = []vmlab.Disk{{Size: 64 << 20}, {Source: disk}}, 3
		g := vmlab.Boot(t, cfg)
		loadCrash(t, g, "--cpus", "2")
		planted := plant(g)
		// Not on the boot CPU, which can't be started again.
		if err := g.VM.Crash(t.Context(), 1); err != nil {
			t.Fatal(err)
		}
		if end := g.WaitEnd(); end.Reason != "guest-shutdown" {
			t.Fatalf("the machine ended by %q; want guest-shutdown, the final action", end.Reason)
		}
		out := t.TempDir()
		run(t, "debugfs", "-R", "rdump /var/crash "+out, disk)
		dirs, err := filepath.Glob(filepath.Join(out, "crash", "*"))
		if err != nil || len(dirs) != 1 {
			t.Fatalf("/var/crash holds %v, %v; want one dump", dirs, err)
		}
		result := checkDumpDir(t, dirs[0], func(d kdumpfile.Dump) {
			planted.checkFiltered(t, d)
			reportOfDir(t, dirs[0], d, k.Release).check(t)
		})
		checkDefault(t, &result)
		if result.CPUs != 2 {
			t.Errorf("the capture kernel had %d CPUs; want 2", result.CPUs)
		}
		if text := run(t, "debugfs", "-R", "show_super_stats -h", disk); !strings.Contains(text, "Filesystem state:         clean") {
			t.Error("the filesystem was not unmounted cleanly")
		}
	}, "bookworm-cloud", "backports-cloud", "trixie-generic")
}

// checkDumpDir looks at the one dump in a directory, which has to be whole.
func checkDumpDir(t *testing.T, dir string, check func(kdumpfile.Dump)) (result capture.Result) {
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
	d, err := kdumpfile.Open(io.NewSectionReader(f, 0, result.VMCore.SavedBytes))
	if err != nil || d.Incomplete() {
		t.Fatalf("the dump: %v; want a complete one", err)
	}
	check(d)
	if log, err := os.ReadFile(filepath.Join(dir, capture.LogName)); err != nil || !strings.Contains(string(log), "Kernel panic") {
		t.Errorf("%s lacks the panic, %v", capture.LogName, err)
	}
	return result
}

// The member of a mirror is left alone; a full filesystem keeps its reserve free; a disk
// that is too small and one with a bad spot keep the log and what they could
// hold; and the last gets all.
func TestVMCaptureCascade(t *testing.T) {
	t.Parallel()
	k := vmlab.GetTestKernel(t, "trixie-cloud")
	// NVMe disks are found in any order; one of them, and virtio's, keep their names.
	cfg := crashMachine(t, k, "--format", "elf", "--dump-level", "0", "--set", "nvme", "--set", "virtio_blk", "--fstype", "ext4",
		"fs:/dev/vdc:/crash", "fs:UUID="+filesystemUUID+":/crash", "raw:/dev/nvme0n1", "raw:/dev/vda", "raw:/dev/vdb")
	mirror, full := mirrorMember(t), emptyDisk(t, "full.img", 128<<20)
	run(t, "mke2fs", "-q", "-t", "ext4", "-U", filesystemUUID, full)
	before := checksum(t, mirror)
	bad := emptyDisk(t, "bad.img", 1<<30)
	good := emptyDisk(t, "good.img", 1<<30)
	cfg.Disks = []vmlab.Disk{{Size: 100 << 20}}
	cfg.Args = append(cfg.Args,
		"-blockdev", "driver=raw,node-name=bad,file.driver=blkdebug,file.image.driver=file,file.image.filename="+bad+
			",file.inject-error.0.event=pwritev,file.inject-error.0.iotype=write,file.inject-error.0.sector=300000,file.inject-error.0.errno=5",
		"-device", "virtio-blk-pci,drive=bad",
		"-drive", "if=none,id=good,format=raw,cache=unsafe,file="+good, "-device", "virtio-blk-pci,drive=good",
		"-drive", "if=none,id=mirror,format=raw,cache=unsafe,file="+mirror, "-device", "virtio-blk-pci,drive=mirror",
		"-drive", "if=none,id=full,format=raw,cache=unsafe,file="+full, "-device", "virtio-blk-pci,drive=full")
	g := vmlab.Boot(t, cfg)
	loadCrash(t, g)
	nonce := g.Plant(50)
	g.Crash()
	if end := g.WaitEnd(); end.Reason != "guest-reset" {
		t.Fatalf("the machine ended by %q; want guest-reset", end.Reason)
	}
	whole := openDump(t, good)
	whole.checkNonce(t, nonce)
	if whole.result.Outcome != capture.Complete || len(whole.result.Errors) != 4 || !strings.Contains(whole.result.Errors[0], "a part of an md RAID array") {
		t.Errorf("on the good disk: %+v; want complete, with the failures of the four others", whole.result)
	}
	if checksum(t, mirror) != before {
		t.Error("the member of the mirror was written to")
	}
	checkReserve(t, full)
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

// mirrorMember makes a disk with ext4 that is a member of a RAID1 with metadata
// 1.0, at its end: the filesystem shows as if the disk had it to itself.
func mirrorMember(t *testing.T) string {
	t.Helper()
	disk := emptyDisk(t, "mirror.img", 64<<20)
	run(t, "mke2fs", "-q", "-t", "ext4", disk)
	// struct mdp_superblock_1 (include/uapi/linux/raid/md_p.h); 16 sectors from the end.
	const sector = 64<<20/512 - 16
	sb := make([]byte, 256)
	binary.LittleEndian.PutUint32(sb, 0xa92b4efc)
	binary.LittleEndian.PutUint32(sb[4:], 1)
	binary.LittleEndian.PutUint64(sb[144:], sector)
	f, err := os.OpenFile(disk, os.O_RDWR, 0)
	if err == nil {
		_, err = f.WriteAt(sb, sector*512)
	}
	if err == nil {
		err = f.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	return disk
}

func checksum(t *testing.T, name string) [sha256.Size]byte {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return sha256.Sum256(b)
}

// checkReserve looks into an ext4 that a dump was too large for: 5 % are free of
// what is not root's, and the log, a part of the dump and the result are there.
func checkReserve(t *testing.T, disk string) {
	t.Helper()
	counts := map[string]int64{}
	for line := range strings.Lines(run(t, "debugfs", "-R", "show_super_stats -h", disk)) {
		if name, value, ok := strings.Cut(line, ":"); ok {
			counts[name], _ = strconv.ParseInt(strings.TrimSpace(value), 10, 64)
		}
	}
	free := counts["Free blocks"] - counts["Reserved block count"]
	if want := counts["Block count"] / 20; free < want || free > 2*want {
		t.Errorf("%d blocks are free in addition to root's reserve; want 5 %%, %d", free, want)
	}
	out := t.TempDir()
	run(t, "debugfs", "-R", "rdump /crash "+out, disk)
	dirs, err := filepath.Glob(filepath.Join(out, "crash", "*"))
	if err != nil || len(dirs) != 1 {
		t.Fatalf("/crash holds %v, %v; want one dump", dirs, err)
	}
	var result capture.Result
	b, err := os.ReadFile(filepath.Join(dirs[0], capture.ResultName))
	if err == nil {
		err = json.Unmarshal(b, &result)
	}
	if err != nil || result.Outcome != capture.Incomplete || !strings.Contains(strings.Join(result.Errors, " "), "are to stay so (keep-free)") {
		t.Errorf("%s: %s, %v; want incomplete, and the reserve named", capture.ResultName, b, err)
	}
	info, err := os.Stat(filepath.Join(dirs[0], capture.IncompleteName))
	if err != nil || info.Size() != result.VMCore.SavedBytes || info.Size() < 32<<20 {
		t.Errorf("%s: %v, %v; want the %d bytes that the result says", capture.IncompleteName, info, err, result.VMCore.SavedBytes)
	}
	if log, err := os.ReadFile(filepath.Join(dirs[0], capture.LogName)); err != nil || !strings.Contains(string(log), "Kernel panic") {
		t.Errorf("%s lacks the panic, %v", capture.LogName, err)
	}
}

// The only disk disappears during the capture: the failure action ends it, the log is on the disk, and what is there
// of a compressed dump can be read.
func TestVMCaptureUnplugged(t *testing.T) {
	t.Parallel()
	k := vmlab.GetTestKernel(t, "trixie-cloud")
	for format, form := range map[capture.Format][]string{
		capture.FormatELF: wholeMemory, capture.FormatKdump: {"--dump-level", "0", "--compress", "none"},
	} {
		t.Run(string(format), func(t *testing.T) {
			t.Parallel()
			cfg := crashMachine(t, k, append(slices.Clone(form), "--set", "nvme", "--failure-action", "poweroff", "raw:/dev/nvme0n1")...)
			disk := emptyDisk(t, "gone.img", 1<<30)
			cfg.Disks = nil
			cfg.Args = append(cfg.Args, "-drive", "if=none,id=gone,format=raw,cache=unsafe,throttling.bps-write=20000000,file="+disk, "-device", "nvme,serial=gone,drive=gone")
			g := vmlab.Boot(t, cfg)
			loadCrash(t, g)
			g.Crash()
			// Into the memory's entry: what is saved so far is on the disk.
			waitAllocated(g, disk, 48<<20)
			g.HMP("drive_del gone")
			if end := g.WaitEnd(); end.Reason != "guest-shutdown" {
				t.Fatalf("the machine ended by %q; want guest-shutdown, the failure action", end.Reason)
			}
			entries := readTar(t, disk)
			if _, found := entries[capture.IncompleteName]; !found || !strings.Contains(string(entries[capture.LogName]), "Kernel panic") {
				t.Errorf("the disk holds %d entries; want the log and %s", len(entries), capture.IncompleteName)
			}
			if format == capture.FormatKdump {
				checkUnplugged(t, disk)
			}
		})
	}
}

// checkUnplugged looks at what is there of a compressed dump.
func checkUnplugged(t *testing.T, disk string) {
	t.Helper()
	saved, err := capture.OpenRaw(disk)
	if err != nil {
		t.Fatal(err)
	}
	defer saved.Close()
	d, err := kdumpfile.Open(saved)
	if err != nil || !d.Incomplete() {
		t.Fatalf("%v; want a dump that is incomplete", err)
	}
	readable, page := 0, make([]byte, kdumpfile.PageSize(d))
	for at := memmap.PhysAddr(0); ; {
		r, err := d.NextMemory(at)
		if errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		for at = r.Start; at < r.End; at += memmap.PhysAddr(len(page)) {
			if _, err := d.ReadPhysAt(page, at); err == nil {
				readable++
			}
		}
	}
	if readable*len(page) < 16<<20 {
		t.Errorf("%d pages can be read; want what was saved", readable)
	}
}

// A capture kernel saves a dump of the default form in the smallest memory that docs/benchmarks.md names for it.
func TestVMCaptureSmall(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"bookworm-cloud", "trixie-cloud"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			k := vmlab.GetTestKernel(t, name)
			// An emulated CPU on a busy host takes longer than the default.
			cfg := crashMachine(t, k, "--report-timeout", "600", "--set", "nvme", "raw:/dev/nvme0n1")
			cfg.CrashKernel = "88M"
			g := vmlab.Boot(t, cfg)
			t.Log(g.Must(gokexec, "load", "--crash", guestKernel, "--initrd", guestInitrd, "--append", k.ConsoleArg()))
			g.Crash()
			if end := g.WaitEnd(); end.Reason != "guest-reset" {
				t.Fatalf("the machine ended by %q; want guest-reset, the capture's reboot", end.Reason)
			}
			d := openDump(t, g.VM.Disk(0))
			checkDefault(t, &d.result)
			if !strings.Contains(d.log, "Kernel panic") {
				t.Errorf("the log lacks the panic; it ends:\n%s", lastLines(d.log, 15))
			}
			entries := readTar(t, g.VM.Disk(0))
			saved := savedReport{entries[capture.ReportName], entries[capture.ReportJSONName], entries[capture.LogName], d.dump, &d.result, k.Release}
			saved.check(t)
		})
	}
}

// waitAllocated waits until that many bytes of a sparse file are really there.
func waitAllocated(g *vmlab.Guest, path string, size int64) {
	g.T.Helper()
	g.Eventually("the capture saves memory", func() string {
		var st unix.Stat_t
		if err := unix.Stat(path, &st); err != nil {
			g.T.Fatal(err)
		}
		if saved := st.Blocks * 512; saved < size {
			return fmt.Sprintf("%d bytes are saved; want %d", saved, size)
		}
		return ""
	})
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
