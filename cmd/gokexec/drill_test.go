package main

import (
	"archive/tar"
	"bytes"
	"context"
	"debug/elf"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gokexec/gokexec/internal/dumptest"
	"github.com/gokexec/gokexec/internal/imagetest"
	"github.com/gokexec/gokexec/pkg/capture"
	"github.com/gokexec/gokexec/pkg/memmap"
	"github.com/gokexec/gokexec/pkg/record"
)

// fakeDrill notes what a drill does to the machine, and keeps what it has noted, as a crash would.
type fakeDrill struct {
	dir      string
	did      []string
	planted  string
	plantErr error
	record   []byte
	volatile bool
}

func (d *fakeDrill) Durable(dir string) error {
	if d.volatile {
		return fmt.Errorf("%s is in memory", dir)
	}
	return nil
}

func (d *fakeDrill) Plant(text string) ([]memmap.PhysAddr, error) {
	d.did, d.planted = append(d.did, "plant"), text
	return []memmap.PhysAddr{tokenAddr, tokenAddr + 4096}, d.plantErr
}

func (d *fakeDrill) Warn(context.Context, string) { d.did = append(d.did, "warn") }
func (d *fakeDrill) Sync()                        { d.did = append(d.did, "sync") }

func (d *fakeDrill) Crash() (err error) {
	d.did = append(d.did, "crash")
	d.record, err = os.ReadFile(filepath.Join(d.dir, drillName))
	return errors.Join(err, errors.New("not in a test"))
}

// tokenAddr is where the token is in the dump.
const tokenAddr = 0x3000000 + 64<<10

// newDrillBench is a machine whose crash kernel saves to /srv/dumps of its disk.
func newDrillBench(t *testing.T) (*bench, *fakeDrill) {
	t.Helper()
	b := newBench(t)
	b.withDisk()
	b.kernel.Write("proc/sysrq-trigger", "")
	b.kernel.Write("proc/sys/kernel/random/boot_id", "first\n")
	b.kernel.Write("srv/dumps/x", "")
	d := &fakeDrill{dir: filepath.Join(b.kernel.Dir, "var/lib/gokexec")}
	b.drill = d
	program := imagetest.GoodELF(elf.EM_X86_64, binary.LittleEndian)
	init, initrd := b.file("gokexec", program.Bytes()), filepath.Join(b.dir, "capture.img")
	b.want(exitOK, "", "", "initramfs", "-o", initrd, "--sysroot", b.dir, "-k", "9.9", "--init", init, "--compression", "none", "/var/crash")
	b.want(exitNotLoaded, "", "no crash kernel is loaded", "drill", "--yes")
	b.want(exitOK, "", "", "load", "--crash", b.vmlinuz, "--initrd", initrd)
	return b, d
}

func TestDrillRequest(t *testing.T) {
	b, d := newDrillBench(t)
	b.want(exitUsage, "", "give --yes", "drill")
	b.want(exitUsage, "", "--verify goes with", "drill", "--verify", "--yes")
	b.want(exitNotLoaded, "", "no drill is under way", "drill", "--verify")
	b.want(exitOK, "the dump is expected at fs:UUID=00112233-4455-6677-8899-aabbccddeeff:/srv/dumps", "", "drill", "--dry-run")
	if len(d.did) > 0 {
		t.Errorf("without --yes the machine was made to %q", d.did)
	}
	// The record is there when the machine crashes, and gone if it survives that.
	b.want(exitFailure, "", "not in a test", "drill", "--yes", "--delay", "1ns")
	if got := strings.Join(d.did, " "); got != "warn plant sync crash" {
		t.Errorf("it did %q", got)
	}
	var r drillRecord
	if err := json.Unmarshal(d.record, &r); err != nil {
		t.Fatalf("the record at the crash: %v\n%s", err, d.record)
	}
	if r.BootID != "first" || len(r.Targets) != 1 || r.Targets[0].Path != "/srv/dumps" || len(r.Memory) == 0 || len(r.Pages) != 2 || !r.Logged || d.planted != r.Token+"\n" {
		t.Errorf("record = %+v", r)
	}
	if log, err := os.ReadFile(b.kmsg); err != nil || !strings.Contains(string(log), "<4>gokexec: drill: crashing on purpose: "+r.Token) {
		t.Errorf("kernel log = %s, %v; want the token", log, err)
	}
	if _, err := os.Stat(filepath.Join(d.dir, drillName)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("after a crash that failed: %v; want no drill under way", err)
	}

	d.plantErr = errors.New("no packet sockets")
	b.want(exitFailure, "", "no page of the memory, only in the kernel log: no packet sockets", "drill", "--yes", "--delay", "0")
	b.kernel.Write("proc/sys/kernel/printk_devkmsg", "off\n")
	b.want(exitFailure, "", "no place for the token", "drill", "--yes", "--delay", "0")
	d.plantErr = nil
	b.want(exitFailure, "", "not in a test", "drill", "--yes", "--delay", "0")
	if err := json.Unmarshal(d.record, &r); err != nil || r.Logged {
		t.Errorf("record = %+v, %v; want no token in the log that /dev/kmsg does not take", r, err)
	}
}

// A drill that can't pass is refused.
func TestDrillRefused(t *testing.T) {
	for _, tt := range []struct {
		name, says string
		break_     func(*bench, *fakeDrill)
		args       []string
	}{
		{"no sysrq", "CONFIG_MAGIC_SYSRQ", func(b *bench, _ *fakeDrill) { b.kernel.Remove("proc/sysrq-trigger") }, nil},
		{"in memory", "is in memory", func(_ *bench, d *fakeDrill) { d.volatile = true }, nil},
		{"cached volume", "vg-root", func(*bench, *fakeDrill) {}, []string{"--target", "raw:/dev/mapper/vg-root"}},
		{"stale", "stale", func(b *bench, _ *fakeDrill) { b.kernel.AddMemory(memmap.Range{Start: 0x4000000000, End: 0x4008000000}) }, nil},
		{"not verified yet", "has not been verified yet", func(_ *bench, d *fakeDrill) {
			_ = writeDurably(d.dir, drillName, &drillRecord{Version: drillVersion, BootID: "earlier"})
		}, nil},
		{"unknown targets", "it is not known where", func(b *bench, _ *fakeDrill) {
			b.want(exitOK, "", "", "load", "--crash", b.vmlinuz, "--initrd", b.initrd)
		}, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b, d := newDrillBench(t)
			tt.break_(b, d)
			b.want(exitFailure, "", tt.says, append([]string{"drill", "--yes", "--delay", "0"}, tt.args...)...)
			if len(d.did) > 0 {
				t.Errorf("the machine was made to %q", d.did)
			}
		})
	}
}

// drillDump makes the vmcore of a drill.
func drillDump(token string, page string) []byte {
	m := dumptest.NewImage(dumptest.Archs[0], "6.12.0-test")
	dumptest.ByteRing(m, 4096, 0, []byte("<4>[    1.500000] drill: "+token+"\n<0>[    2.000000] Kernel panic\n"))
	const size = 512 << 10
	mem := m.Bytes(m.Alloc(size, 4096), size)
	at := m.Virt + (tokenAddr - m.Phys)
	copy(m.Bytes(at, 4096), tokenPage(page, 4096))
	copy(m.Bytes(at+4096, 4096), tokenPage(page, 4096))
	_ = mem
	return m.Core().Bytes()
}

func TestDrillVerify(t *testing.T) {
	const token = "gokexec-drill-0123"
	crash := time.Now().Add(-90 * time.Second).UTC().Truncate(time.Second)
	good := func() *capture.Result {
		return &capture.Result{Outcome: capture.Complete, CrashTime: &crash, CaptureTime: crash.Add(5 * time.Second), Durations: capture.Durations{TotalSeconds: 20},
			Report: &capture.SavedReport{Title: "crash by SysRq", Fingerprint: "ac6643ddbb108048"}}
	}
	type dump struct {
		result      *capture.Result
		log, vmcore []byte
	}
	whole := dump{good(), []byte("a\n" + token + "\n"), drillDump(token, token+"\n")}
	for _, tt := range []struct {
		name   string
		raw    bool
		change func(*drillRecord, *dump)
		reason string
	}{
		{"passes", false, func(*drillRecord, *dump) {}, ""},
		{"passes on a raw device", true, func(*drillRecord, *dump) {}, ""},
		{"passes without a report", false, func(_ *drillRecord, d *dump) { d.result.Report = &capture.SavedReport{Error: "killed"} }, ""},
		{"no token in the log of the memory", false, func(_ *drillRecord, d *dump) { d.vmcore = drillDump("other", token+"\n") }, "log in the memory: the token of the drill is not in it"},
		{"no token in the pages", false, func(_ *drillRecord, d *dump) { d.vmcore = drillDump(token, "other\n") }, "does not hold the token"},
		{"no token in dmesg.txt", false, func(_ *drillRecord, d *dump) { d.log = []byte("panic\n") }, "dmesg.txt: the token of the drill is not in it"},
		{"page missing", false, func(r *drillRecord, _ *dump) { r.Pages = append(r.Pages, 0x10000000) }, "page 0x10000000"},
		{"memory missing", false, func(r *drillRecord, _ *dump) {
			r.Memory = append(r.Memory, record.CrashMemory{Start: 0x80000000, End: 0x80100000})
		}, "memory: it lacks [0x80000000-0x80100000), 1024 KiB"},
		{"incomplete", false, func(_ *drillRecord, d *dump) {
			d.result.Outcome, d.result.Errors = capture.Incomplete, []string{"disk full"}
		}, "the capture was incomplete: disk full"},
		{"log only", false, func(_ *drillRecord, d *dump) { d.vmcore = nil }, "there is no memory"},
		{"cut", false, func(_ *drillRecord, d *dump) { d.vmcore = d.vmcore[:300<<10] }, "it is incomplete"},
		{"no result", false, func(_ *drillRecord, d *dump) { d.result = nil }, "no result.json"},
		{"no dump", false, func(_ *drillRecord, d *dump) { *d = dump{} }, "the machine has booted, and there is no dump"},
		{"an older dump", false, func(r *drillRecord, d *dump) {
			d.log = nil
			r.Requested = crash.Add(time.Hour)
		}, "the machine has booted, and there is no dump"},
		{"target gone", false, func(r *drillRecord, d *dump) {
			*d = dump{}
			r.Targets[0].Device = "UUID=ffffffff-0000-0000-0000-000000000000"
		}, "no dump was found within"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := newBench(t)
			b.withDisk()
			b.kernel.Write("proc/sys/kernel/random/boot_id", "second\n")
			b.kernel.Write("proc/stat", fmt.Sprintf("cpu 0\nbtime %d\n", crash.Add(40*time.Second).Unix()))
			b.kernel.Write("srv/dumps/x", "")
			d := whole
			d.result = good()
			target := capture.Target{Type: capture.TargetFilesystem, Device: "UUID=00112233-4455-6677-8899-aabbccddeeff", Path: "/srv/dumps"}
			if tt.raw {
				target = capture.Target{Type: capture.TargetRaw, Device: "/dev/dm-0"}
			}
			r := &drillRecord{Version: drillVersion, Token: token, Requested: crash.Add(-3 * time.Second), BootID: "first", Targets: []capture.Target{target}, Logged: true,
				Pages: []memmap.PhysAddr{tokenAddr, tokenAddr + 4096}, PageSize: 4096, Memory: []record.CrashMemory{{Start: 0x3000000, End: 0x3080000}}}
			tt.change(r, &d)
			files := map[string][]byte{}
			if d.result != nil {
				files[capture.ResultName], _ = json.Marshal(d.result)
			}
			if d.log != nil {
				files[capture.LogName] = d.log
			}
			if d.vmcore != nil {
				files[capture.VMCoreName] = d.vmcore
			}
			if tt.raw {
				b.kernel.Write("dev/dm-0", string(drillTar(t, files)))
			} else {
				for name, content := range files {
					b.kernel.Write("srv/dumps/"+crash.Format("20060102T150405Z")+"/"+name, string(content))
				}
			}
			dir := filepath.Join(b.kernel.Dir, "var/lib/gokexec")
			if err := writeDurably(dir, drillName, r); err != nil {
				t.Fatal(err)
			}
			b.kernel.Write("proc/sys/kernel/random/boot_id", "first\n")
			b.want(exitFailure, "", "the machine has not crashed since", "drill", "--verify")
			b.kernel.Write("proc/sys/kernel/random/boot_id", "second\n")
			if tt.reason == "" {
				b.want(exitOK, "drill:   passed", "", "drill", "--verify")
				if !strings.Contains(b.stdout.String(), "crash to capture 5 s, capture 20 s, capture to boot 15 s") {
					t.Errorf("it says:\n%s\nwant the times", &b.stdout)
				}
				said := "crash by SysRq, fingerprint ac6643ddbb108048"
				if d.result.Report.Error != "" {
					said = "killed"
				}
				if !strings.Contains(b.stdout.String(), said) {
					t.Errorf("it says:\n%s\nwant %q", &b.stdout, said)
				}
				b.want(exitNotLoaded, "last drill:    passed, ", "", "status")
			} else {
				b.want(exitFailure, "drill:   failed", tt.reason, "drill", "--verify", "--timeout", "10ms")
				b.want(exitNotLoaded, "last drill:    failed, ", "", "status")
			}
			// It is over.
			b.want(exitNotLoaded, "", "no drill is under way", "drill", "--verify")
			last, err := readDrill[lastDrill](dir, lastDrillName)
			if err != nil || last.Passed != (tt.reason == "") || !strings.Contains(last.Reason, tt.reason) || !last.Requested.Equal(r.Requested) {
				t.Errorf("last drill = %+v, %v; want %q", last, err, tt.reason)
			}
		})
	}
}

func drillTar(t *testing.T, files map[string][]byte) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, name := range []string{capture.LogName, capture.VMCoreName, capture.ResultName} {
		if err := w.WriteHeader(&tar.Header{Name: name, Mode: 0o600, Size: int64(len(files[name]))}); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(files[name]); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// A record that can't be read ends the drill, as failed: the service would start again and again.
func TestDrillDamagedRecord(t *testing.T) {
	for _, text := range []string{"", "{", `{"version":99}`, `{"version":1,"targets":7}`} {
		b := newBench(t)
		b.kernel.Write("var/lib/gokexec/drill.json", text)
		b.want(exitFailure, "drill:   failed", "can't be read", "drill", "--verify")
		b.want(exitNotLoaded, "", "no drill is under way", "drill", "--verify")
	}
}

// The newest dumps come first, and what is no dump is not one.
func TestStoredDumps(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"20260102T000000Z", "20260102T000000Z-2", "20260102T000000Z-10", "20250101T000000Z", "x", "20260102T000000Z-01", "20260102T000000Z-0", "20261302T000000Z", "20260102T000000Z.old", "lost+found"} {
		if err := os.Mkdir(filepath.Join(dir, name), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	dumps, err := directoryDumps(dir, false)
	var names []string
	for _, d := range dumps {
		names = append(names, filepath.Base(d.path))
	}
	if got := strings.Join(names, " "); err != nil || got != "20260102T000000Z-10 20260102T000000Z-2 20260102T000000Z 20250101T000000Z" {
		t.Errorf("dumps = %s, %v", got, err)
	}
	if got := dumps[3].crashed(); !got.Equal(time.Date(2025, 1, 1, 0, 0, 0, 0, time.UTC)) {
		t.Errorf("the time of a dump without a result = %v", got)
	}
}
