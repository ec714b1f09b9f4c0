package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/gokexec/gokexec/internal/kexectest"
	"github.com/gokexec/gokexec/pkg/reservation"
)

// reserved gives the machine that much crash memory, below 1 GiB.
func reserved(b *bench, mib uint64) {
	b.t.Helper()
	const start = 0x10000000
	line := fmt.Sprintf("  %08x-%08x : Crash kernel\n", start, start+mib<<20-1)
	b.kernel.Write("proc/iomem", strings.Replace(kexectest.Iomem, "  36000000-3dffffff : Crash kernel\n", line, 1))
	b.kernel.Write("sys/kernel/kexec_crash_size", fmt.Sprintf("%d\n", mib<<20))
}

// readReservation is what estimate --json tells.
type readReservation struct {
	Crashkernel []string
	Bytes       uint64 `json:"recommended_bytes"`
	Need        uint64 `json:"needed_bytes"`
	Reserved    uint64 `json:"reserved_bytes"`
	Spare       uint64 `json:"spare_bytes"`
	Parts       []reservation.Part
	Defaults    []reservation.Default
	Finding     struct{ Level, Detail string }
}

func (b *bench) reservation(args ...string) (r readReservation) {
	b.t.Helper()
	code := b.run(append([]string{"estimate", "--json"}, args...)...)
	if err := json.Unmarshal(b.stdout.Bytes(), &r); err != nil || code != exitOK && code != exitStale {
		b.t.Fatalf("estimate --json = %d, %v: %s%s", code, err, &b.stdout, &b.stderr)
	}
	return r
}

func TestEstimate(t *testing.T) {
	b := newBench(t)
	r := b.reservation()
	if len(r.Crashkernel) != 1 || r.Bytes < r.Need || r.Need == 0 || r.Reserved != 128<<20 || len(r.Defaults) < 3 {
		t.Errorf("estimate = %+v", r)
	}
	if v, err := reservation.Parse(strings.TrimPrefix(r.Crashkernel[0], "crashkernel=")); err != nil || v.Size(1<<30) != r.Bytes {
		t.Errorf("%s, %v; want %d bytes", r.Crashkernel, err, r.Bytes)
	}
	b.want(exitOK, r.Crashkernel[0]+"\n", "", append([]string{"estimate"}, "--cpus", "1")...)
	for _, word := range []string{"kernel ", "initramfs, unpacked", "recommended", "Debian, kdump-tools", "512M-:192M"} {
		if !strings.Contains(b.stdout.String(), word) {
			t.Errorf("estimate prints no %q:\n%s", word, &b.stdout)
		}
	}

	// What is to be loaded counts: the kernel (40 MiB), and the initramfs packed and unpacked.
	large := b.file("large", cpioOf(t, map[string]int{"init": 6, "big": 100 << 20}))
	own := b.reservation(b.vmlinuz, "--initrd", b.initrd)
	if more := b.reservation(b.vmlinuz, "--initrd", large); more.Need < own.Need+100<<20 || more.Bytes < own.Bytes+100<<20 {
		t.Errorf("with an initramfs of 100 MiB %d MiB are needed; without %d", more.Need>>20, own.Need>>20)
	}
	if i := slices.IndexFunc(own.Parts, func(p reservation.Part) bool { return p.Name == "kernel" }); i < 0 || own.Parts[i].Bytes != 40<<20 {
		t.Errorf("parts %+v; want a kernel of 40 MiB", own.Parts)
	}
	if more := b.reservation(b.vmlinuz, "--initrd", b.initrd, "--cpus", "9"); more.Need < own.Need+16<<20 {
		t.Errorf("9 CPUs need %d MiB, one %d", more.Need>>20, own.Need>>20)
	}
	b.want(exitFailure, "", "no such file", "estimate", "--initrd", filepath.Join(b.dir, "none"))
	b.want(exitFailure, "", "no such file", "estimate", filepath.Join(b.dir, "none"))
	b.want(exitUsage, "", "--cpus 0", "estimate", "--cpus", "0")
	b.want(exitUsage, "", "leave --sysroot out", "estimate", "--shrink", "--sysroot", b.dir)

	// Too little, or nothing.
	reserved(b, 64)
	b.want(exitStale, "reserved now", "", "estimate")
	if r := b.reservation(); !strings.Contains(r.Finding.Detail, "may run out of memory") {
		t.Errorf("finding %+v", r.Finding)
	}
	b.want(exitOK, "warning  reservation: 64 MiB are reserved", "", "check")
	b.want(exitOK, "-> boot with crashkernel=", "", "check")
	b.want(exitOK, "", "gokexec: warning: 64 MiB are reserved, a capture of this machine needs about ", "load", "--crash", b.vmlinuz, "--initrd", b.initrd)
	b.want(exitOK, "crash kernel unloaded", "", "unload", "--crash")
	b.kernel.Write("proc/iomem", strings.Replace(kexectest.Iomem, "  36000000-3dffffff : Crash kernel\n", "", 1))
	b.want(exitStale, "reserved now                  nothing", "", "estimate")
	b.kernel.Write("proc/iomem", "00000000-00000000 : System RAM\n")
	b.want(exitFailure, "", "hint: run as root", "estimate")
}

func TestShrink(t *testing.T) {
	b := newBench(t)
	size := func() string {
		text, err := os.ReadFile(filepath.Join(b.kernel.Dir, "sys/kernel/kexec_crash_size"))
		if err != nil {
			t.Fatal(err)
		}
		return strings.TrimSpace(string(text))
	}
	reserved(b, 64)
	b.want(exitOK, "nothing to give back: 64 MiB are reserved", "", "estimate", "--shrink")
	reserved(b, 512)
	recommended := b.reservation().Bytes
	if spare := b.reservation().Spare; spare != 512<<20-recommended {
		t.Errorf("%d MiB to spare of 512, and %d are recommended", spare>>20, recommended>>20)
	}
	// The fake kernel takes the size, and does not change its map.
	b.want(exitFailure, "", "/proc/iomem shows the old one", "estimate", "--shrink")
	if got := size(); got != fmt.Sprint(recommended) {
		t.Errorf("kexec_crash_size was set to %s; want %d", got, recommended)
	}
	b.kernel.Write("sys/kernel/kexec_crash_loaded", "1\n")
	reserved(b, 512)
	b.want(exitFailure, "", "a crash kernel is loaded", "estimate", "--shrink")
	b.want(exitFailure, "", "hint: gokexec unload --crash first", "estimate", "--shrink")
	if got := size(); got != fmt.Sprint(512<<20) {
		t.Errorf("kexec_crash_size is %s while a crash kernel is loaded", got)
	}
	b.kernel.Write("sys/kernel/kexec_crash_loaded", "0\n")
	b.kernel.Write("sys/kernel/kexec_crash_size", "12345\n")
	b.want(exitFailure, "", "says 12345 bytes", "estimate", "--shrink")
	b.kernel.Remove("sys/kernel/kexec_crash_size")
	b.want(exitFailure, "", "this kernel can't give crash memory back", "estimate", "--shrink")
	reserved(b, 512)
	b.kernel.Write("proc/iomem", strings.Replace(kexectest.Iomem, "  36000000-3dffffff : Crash kernel\n", "", 1))
	b.want(exitFailure, "", "no crash memory is reserved", "estimate", "--shrink")
}
