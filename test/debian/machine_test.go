package debian

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gokexec/gokexec/internal/vmlab"
	"github.com/gokexec/gokexec/internal/vmlab/wire"
)

const (
	rootDevice = "/dev/nvme0n1"
	dumpDevice = "SERIAL=gokexec1" // raw; of two NVMe disks either may be found first
	guestDeb   = "/root/gokexec.deb"
)

var builtDeb struct {
	sync.Once
	path string
	err  error
}

// debFile is the package, as make deb makes it.
func debFile(t *testing.T) string {
	t.Helper()
	builtDeb.Do(func() {
		cmd := exec.Command("make", "-s", "deb")
		cmd.Dir = "../.."
		out, err := cmd.CombinedOutput()
		lines := strings.Split(strings.TrimSpace(string(out)), "\n")
		builtDeb.path, builtDeb.err = filepath.Join(cmd.Dir, lines[len(lines)-1]), err
		if err != nil {
			builtDeb.err = fmt.Errorf("make deb: %w: %s", err, out)
		}
	})
	if builtDeb.err != nil {
		t.Fatal(builtDeb.err)
	}
	return builtDeb.path
}

// machine is one whose root is a copy of the Debian, with the package in it.
func machine(t *testing.T, d *vmlab.Debian, disk string, more ...vmlab.File) vmlab.Config {
	return vmlab.Config{
		Kernel: d.Kernel, Memory: 768, MaxMemory: 4096, CrashKernel: "256M", Root: rootDevice,
		Disks:   []vmlab.Disk{{Source: disk}},
		Cmdline: "systemd.mask=ldconfig.service systemd.mask=systemd-journal-catalog-update.service systemd.mask=getty-static.service systemd.mask=e2scrub_reap.service",
		Files:   append([]vmlab.File{{Path: guestDeb, Source: debFile(t)}}, more...),
	}
}

// boot starts the machine and waits until its services are up.
func boot(t *testing.T, cfg vmlab.Config) *vmlab.Guest {
	t.Helper()
	g := vmlab.Boot(t, cfg)
	t.Logf("%s: systemd up after %v", cfg.Kernel.Name, g.VM.Booted.Round(time.Second))
	if state := strings.TrimSpace(g.Run("systemctl", "is-system-running", "--wait").Stdout); state != "running" {
		t.Errorf("the system is %q; want running\n%s", state, g.Run("systemctl", "--failed").Stdout)
	}
	return g
}

// say runs a command that has to succeed, and whose words, on either stream, have to
// include some.
func say(g *vmlab.Guest, want string, argv ...string) string {
	g.T.Helper()
	r := g.Run(argv...)
	text := r.Stdout + r.Stderr
	if r.Code != 0 || !strings.Contains(text, want) {
		g.T.Errorf("%s: exit code %d, %q; want 0 and %q", strings.Join(argv, " "), r.Code, text, want)
	}
	return text
}

func crashLoaded(g *vmlab.Guest) string {
	g.T.Helper()
	return strings.TrimSpace(g.ReadFile("/sys/kernel/kexec_crash_loaded"))
}

// eventually waits for something that others in the guest bring about.
func eventually(g *vmlab.Guest, what string, done func() bool) {
	g.T.Helper()
	came := false
	defer func() {
		if !came {
			g.T.Log(g.Run("journalctl", "-b", "-n", "40", "--no-pager").Stdout)
		}
	}()
	g.Eventually(what, func() string {
		if came = done(); came {
			return ""
		}
		return "not yet"
	})
}

func accuracy(g *vmlab.Guest) string {
	g.T.Helper()
	r := g.Run("gokexec", "status", "--json")
	var status struct {
		Header struct {
			Accuracy string `json:"accuracy"`
		} `json:"elfcorehdr"`
	}
	if err := json.Unmarshal([]byte(r.Stdout), &status); err != nil {
		g.T.Fatalf("gokexec status --json: %v\n%s%s", err, r.Stdout, r.Stderr)
	}
	return status.Header.Accuracy
}

// addMemory adds a DIMM, and where the kernel leaves that to userspace, onlines it.
func addMemory(g *vmlab.Guest, id string) {
	g.T.Helper()
	blocks := func() []string {
		found, err := g.VM.Glob(g.T.Context(), "/sys/devices/system/memory/memory*")
		if err != nil {
			g.T.Fatal(err)
		}
		return found
	}
	before := len(blocks())
	if err := g.VM.AddDIMM(g.T.Context(), id, 128); err != nil {
		g.T.Fatal(err)
	}
	eventually(g, "the DIMM's blocks are there", func() bool { return len(blocks()) > before })
	for _, block := range blocks() {
		if strings.TrimSpace(g.ReadFile(block+"/state")) == "offline" {
			g.WriteFile(block+"/state", "online")
		}
	}
}

// noFailures looks for units that have failed.
func noFailures(g *vmlab.Guest) {
	g.T.Helper()
	if failed := g.Must("systemctl", "--failed", "--plain", "--no-legend"); strings.TrimSpace(failed) != "" {
		g.T.Errorf("failed units: %s", failed)
	}
}

// savedIn copies a directory of a disk to the host and lists its files.
func savedIn(t *testing.T, disk, directory string) []string {
	t.Helper()
	into := t.TempDir()
	if err := vmlab.ReadDisk(t.Context(), disk, directory, into); err != nil {
		t.Fatal(err)
	}
	var files []string
	err := filepath.Walk(into, func(path string, info os.FileInfo, err error) error {
		if err == nil && info.Mode().IsRegular() {
			files = append(files, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// waitLong waits for the machine's end through a capture in a whole Debian, which
// takes several steps' time.
func waitLong(g *vmlab.Guest) (vmlab.End, error) {
	ctx, cancel := context.WithTimeout(g.T.Context(), 10*time.Minute)
	defer cancel()
	return g.VM.Wait(ctx)
}

// waitAgain waits for the agent of a second kernel, under a whole Debian again.
func waitAgain(g *vmlab.Guest) *wire.Hello {
	g.T.Helper()
	ctx, cancel := context.WithTimeout(g.T.Context(), 10*time.Minute)
	defer cancel()
	hello, err := g.VM.WaitHello(ctx)
	if err != nil {
		g.T.Fatal(err)
	}
	return hello
}
