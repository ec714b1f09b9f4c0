package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/gokexec/gokexec/pkg/elfcore"
)

func TestLoadSegments(t *testing.T) {
	b := newBench(t)
	load := func(more ...string) []string {
		return append([]string{"load", "--crash", b.vmlinuz, "--initrd", b.initrd}, more...)
	}
	b.want(exitOK, "by kexec_load", "", load("--method", "segments", "--serial", "ttyS0,115200")...)
	if b.kernel.Crash == nil || len(b.kernel.Crash.Segments) != 6 {
		t.Fatalf("the kernel holds %+v; want 6 segments", b.kernel.Crash)
	}
	b.want(exitOK, "by kexec_file_load", "", load("--method", "file")...)
	b.want(exitOK, "by kexec_file_load", "", load()...)
	b.kernel.NoFileLoad = true
	b.want(exitOK, "because: kexec_file_load", "", load()...)
	b.want(exitFailure, "", "--method segments", load("--method", "file")...)
	b.want(exitFailure, "", "crash_elfcorehdr_size", load("--method", "segments", "--hotplug", "on")...)
	for _, bad := range [][]string{{"--method", "magic"}, {"--hotplug", "maybe"}, {"--serial", "ttyUSB0"}} {
		b.want(exitUsage, "", bad[0], load(bad...)...)
	}
}

// A dry run prints the complete plan, the same each time, of another machine's
// tree too.
func TestDryRunSegments(t *testing.T) {
	b := newBench(t)
	args := []string{"load", "--crash", b.vmlinuz, "--initrd", b.initrd, "--method", "segments", "--dry-run", "--sysroot", b.kernel.Dir, "--arch", "x86_64"}
	for _, part := range []string{"would load the crash kernel by kexec_load(ON_CRASH)", "purgatory", "[0x36001000-", "read from", "elfcorehdr=0x36000000", "sha256 "} {
		b.want(exitOK, part, "", args...)
	}
	first := b.stdout.String()
	if b.run(args...); b.stdout.String() != first {
		t.Error("two dry runs print different plans")
	}
	b.want(exitOK, "", "", append(args, "--json")...)
	var r struct {
		Method string `json:"method"`
		Load   struct {
			Segments []struct {
				Role   string `json:"role"`
				SHA256 string `json:"sha256"`
			} `json:"segments"`
			E820   []map[string]any `json:"e820"`
			Header struct {
				Loads []map[string]any `json:"loads"`
			} `json:"elfcorehdr"`
		} `json:"kexec_load"`
	}
	if err := json.Unmarshal(b.stdout.Bytes(), &r); err != nil || r.Method != "segments" || len(r.Load.Segments) != 6 || len(r.Load.E820) < 3 || len(r.Load.Header.Loads) != 4 {
		t.Errorf("--json = %+v, %v", r, err)
	}
	if b.kernel.Calls != 0 {
		t.Errorf("a dry run made %d system calls", b.kernel.Calls)
	}
}

func TestElfcorehdrCommand(t *testing.T) {
	b := newBench(t)
	file := filepath.Join(b.dir, "header")
	b.want(exitOK, "4 ranges", "", "elfcorehdr", "build")
	b.want(exitOK, "bytes", "", "elfcorehdr", "build", "-o", file, "--sysroot", b.kernel.Dir)
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := elfcore.ParseHeader(data); err != nil {
		t.Errorf("the file that build wrote: %v", err)
	}
	b.want(exitOK, "[0x100000-0x36000000)  at 0xffff888000100000", "", "elfcorehdr", "show", file)
	b.want(exitOK, `"vmcoreinfo"`, "", "elfcorehdr", "show", "--json", file)
	b.want(exitFailure, "", "check the path", "elfcorehdr", "show", file+"x")
	b.want(exitFailure, "", "not", "elfcorehdr", "show", b.vmlinuz)
	for _, bad := range [][]string{{}, {"show"}, {"show", file, file}, {"build", file}, {"eat"}, {"show", "-o", file}} {
		b.want(exitUsage, "", "", append([]string{"elfcorehdr"}, bad...)...)
	}
	b.kernel.Remove("proc/kcore")
	b.want(exitUnknown, "", "/proc/kcore", "elfcorehdr", "show", "--loaded")
	b.kernel.Write("proc/iomem", "00100000-3ffdefff : System RAM\n")
	b.want(exitNotLoaded, "", "no memory is reserved", "elfcorehdr", "show", "--loaded")
}

func TestMemmapCommand(t *testing.T) {
	b := newBench(t)
	b.want(exitOK, "total: 1023 MiB of RAM, 895 MiB would be dumped", "", "memmap")
	b.want(exitOK, "[0x36000000-0x3e000000)", "", "memmap", "--sysroot", b.kernel.Dir)
	b.want(exitOK, `"dumped_bytes"`, "", "memmap", "--json")
	// Without CPUs it is still a memory map.
	b.kernel.Remove("sys/devices")
	b.want(exitOK, "total: 1023 MiB", "", "memmap")
	b.want(exitUsage, "", "", "memmap", "x")
	b.kernel.Write("proc/iomem", "00000000-00000000 : System RAM\n")
	b.want(exitFailure, "", "run as root", "memmap")
}

// A load that fails because there is no room does not change what is loaded.
func TestSegmentsNoRoom(t *testing.T) {
	b := newBench(t)
	b.want(exitOK, "", "", "load", "--crash", b.vmlinuz, "--method", "segments")
	calls := b.kernel.Calls
	large := b.file("large", make([]byte, 100<<20))
	b.want(exitFailure, "", "do not fit the crash memory", "load", "--crash", b.vmlinuz, "--initrd", large, "--method", "segments")
	if b.kernel.Calls != calls || b.kernel.Crash == nil {
		t.Errorf("%d system calls for a plan that does not fit", b.kernel.Calls-calls)
	}
	b.kernel.FailEarly = []unix.Errno{unix.EPERM}
	b.want(exitFailure, "", "kexec_load", "load", "--crash", b.vmlinuz, "--method", "segments")
}
