package vmlab

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestVMBoot(t *testing.T) {
	Matrix(t, func(t *testing.T, k *Kernel) {
		g := Boot(t, Config{Kernel: k, Disks: []Disk{{Size: 64 << 20}}})
		t.Logf("%s: %s, %s; up after %v (guest: %v)", k.Name, k.Release, k.Version, g.VM.Booted, g.VM.Hello.Uptime)
		if g.VM.Hello.Release != k.Release {
			t.Errorf("guest runs %s; want %s", g.VM.Hello.Release, k.Release)
		}
		if size := strings.TrimSpace(g.ReadFile("/sys/block/nvme0n1/size")); size != "131072" {
			t.Errorf("disk has %s sectors; want 131072", size)
		}
		content := make([]byte, 256<<10)
		for i := range content {
			content[i] = byte(rand.Uint32())
		}
		began := time.Now()
		g.WriteFile("/tmp/new/file", string(content))
		t.Logf("write: %.0f KiB/s", 256/time.Since(began).Seconds())
		began = time.Now()
		if got := g.ReadFile("/tmp/new/file"); !bytes.Equal([]byte(got), content) {
			t.Errorf("a file of %d bytes came back different", len(content))
		}
		t.Logf("read: %.0f KiB/s", 256/time.Since(began).Seconds())
		n := g.Plant(100)
		if err := n.Check(func(b []byte, phys uint64) error {
			_, err := g.VM.Physical().ReadAt(b, int64(phys))
			return err
		}); err != nil {
			t.Error(err)
		}
		// Both sides see the same low memory.
		low, err := g.VM.PlantAt(0x50000, 0x60000)
		if err != nil {
			t.Fatal(err)
		}
		if err := low.Check(func(b []byte, phys uint64) error {
			got, err := g.VM.GuestMemory(t.Context(), "kcore", phys, uint64(len(b)))
			copy(b, got)
			return err
		}); err != nil {
			t.Error(err)
		}
		_, err = g.VM.ReadFile(t.Context(), "/no/such")
		var guest *GuestError
		if !errors.As(err, &guest) || !strings.Contains(err.Error(), "no such file") {
			t.Errorf("ReadFile(/no/such) = %v; want a GuestError", err)
		}
		g.Reboot("poweroff")
		if end := g.WaitEnd(); end.Reason != "guest-shutdown" {
			t.Errorf("the machine ended by %q; want guest-shutdown", end.Reason)
		}
	})
}

var dimm = regexp.MustCompile(`(?m)^100000000-10fffffff : System RAM`)

func TestVMHotAdd(t *testing.T) {
	Matrix(t, func(t *testing.T, k *Kernel) {
		g := Boot(t, Config{Kernel: k, MaxMemory: 4096, MaxCPUs: 4})
		const cpus = "/sys/devices/system/cpu/present"
		if iomem, present := g.ReadFile("/proc/iomem"), g.ReadFile(cpus); dimm.MatchString(iomem) || present != "0\n" {
			t.Fatalf("CPUs present: %s; want 0, and no DIMM in\n%s", present, iomem)
		}
		if err := g.VM.AddDIMM(t.Context(), "dimm1", 256); err != nil {
			t.Fatal(err)
		}
		if err := g.VM.AddCPU(t.Context(), 1); err != nil {
			t.Fatal(err)
		}
		g.Eventually("memory and a CPU come", func() string {
			iomem, present := g.ReadFile("/proc/iomem"), g.ReadFile(cpus)
			if dimm.MatchString(iomem) && present == "0-1\n" {
				return ""
			}
			return "CPUs " + present + " are present; want 0-1, and a DIMM in\n" + iomem
		})
	})
}

func TestVMUEFI(t *testing.T) {
	t.Parallel()
	k := GetTestKernel(t, "trixie-cloud")
	GetTestPackage(t, "bookworm", "ovmf")
	g := Boot(t, Config{Kernel: k, Firmware: "uefi"})
	if systab := g.ReadFile("/sys/firmware/efi/fw_platform_size"); strings.TrimSpace(systab) != "64" {
		t.Errorf("fw_platform_size = %q; want 64", systab)
	}
}

func TestVMPackage(t *testing.T) {
	t.Parallel()
	cfg := Config{Kernel: GetTestKernel(t, "trixie-cloud")}
	programs := map[string][]string{} // by what they say first
	for suite, want := range map[string]string{"bookworm": "kexec-tools 2.0.25", "sid": "kexec-tools 2.0.3"} {
		program, err := GetTestPackage(t, suite, "kexec-tools").GuestProgram("sbin/kexec")
		if err != nil {
			t.Fatal(err)
		}
		programs[want] = append(program.Argv, "--version")
		cfg.Files = append(cfg.Files, program.Files...)
	}
	g := Boot(t, cfg)
	for want, argv := range programs {
		if got := g.Must(argv...); !strings.HasPrefix(got, want) {
			t.Errorf("%s: %q; want %s...", argv, got, want)
		}
	}
}

func TestVMPrograms(t *testing.T) {
	t.Parallel()
	k := GetTestKernel(t, "trixie-cloud")
	busybox := GetTestPackage(t, "bookworm", "busybox-static")
	g := Boot(t, Config{Kernel: k, Files: []File{Executable("/bin/busybox", busybox.Path("bin/busybox"))}})
	sh := func(script string, command Command) Result {
		t.Helper()
		command.Argv = []string{"busybox", "sh", "-c", script}
		r, err := g.VM.Run(t.Context(), command)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	long := strings.Repeat("0123456789abcdef", 4<<10)
	for _, c := range []struct {
		name, script   string
		command        Command
		code           int
		stdout, stderr string
		signal         string
		timedOut       bool
	}{
		{name: "exit status", script: "echo out; echo err >&2; exit 7", code: 7, stdout: "out\n", stderr: "err\n"},
		{name: "standard input", script: "busybox cat", command: Command{Stdin: []byte(long)}, stdout: long},
		{name: "environment", script: "echo $X $PWD", command: Command{Env: []string{"X=1"}, Dir: "/tmp"}, stdout: "1 /tmp\n"},
		{name: "signal", script: "kill -9 $$", code: -1, signal: "killed"},
		{name: "timeout", script: "busybox sleep 60", command: Command{Timeout: time.Second}, code: -1, signal: "killed", timedOut: true},
		{name: "daemon", script: "busybox sleep 600 & echo started", stdout: "started\n"},
	} {
		r := sh(c.script, c.command)
		if r.Code != c.code || r.Stdout != c.stdout || r.Stderr != c.stderr || r.Signal != c.signal || r.TimedOut != c.timedOut {
			t.Errorf("%s: got %+v, stdout %.80q, stderr %.80q", c.name, r.RunResult, r.Stdout, r.Stderr)
		}
	}
	p := g.Start("busybox", "sleep", "600")
	if err := p.Signal(t.Context(), syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if r, err := p.Wait(t.Context()); err != nil || r.Signal != "terminated" {
		t.Errorf("after SIGTERM: %+v, %v", r, err)
	}
	if _, err := g.VM.Run(t.Context(), Command{Argv: []string{"/no/program"}}); err == nil {
		t.Error("a missing program ran")
	}
	// The server is not PID 1: killing it loses what runs, and nothing else.
	_, err := g.VM.Run(t.Context(), Command{Argv: []string{"busybox", "sh", "-c", "kill -9 $PPID; busybox sleep 60"}})
	if !errors.Is(err, ErrRestarted) {
		t.Errorf("Run = %v while the server was killed; want %v", err, ErrRestarted)
	}
	if hello := g.WaitHello(); hello.Restart != 1 || hello.BootID != g.VM.Hello.BootID {
		t.Errorf("hello after the server was killed: %+v", hello)
	}
	g.Must("busybox", "true")
}
