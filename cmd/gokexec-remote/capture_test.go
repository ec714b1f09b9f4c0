package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"filippo.io/age"

	"github.com/gokexec/gokexec/internal/dumptest"
	"github.com/gokexec/gokexec/internal/storelab"
	"github.com/gokexec/gokexec/internal/sysfs"
	"github.com/gokexec/gokexec/pkg/capture"
	"github.com/gokexec/gokexec/pkg/fleet"
	"github.com/gokexec/gokexec/pkg/kdumpfile"
	"github.com/gokexec/gokexec/pkg/memmap"
	"github.com/gokexec/gokexec/pkg/remote"
	"github.com/gokexec/gokexec/pkg/seal"
)

// crashTime is that of the image.
const crashTime = "20231114T221320Z"

// memory is an ELF file with 24 MB of memory and a log.
func memory(t *testing.T) string {
	t.Helper()
	m := dumptest.NewImage(dumptest.Archs[0], "6.12.0-test")
	m.Line("BUILD-ID=%s", "0123456789abcdef")
	const size = 24 << 20
	mem := m.Bytes(m.Alloc(size, 4096), size)
	x := uint32(1)
	for i := range mem {
		x ^= x << 13
		x ^= x >> 17
		x ^= x << 5
		mem[i] = byte(x)
	}
	dumptest.ByteRing(m, 4096, 0, []byte("<0>Kernel panic - not syncing: a test\n"))
	name := filepath.Join(t.TempDir(), "vmcore.elf")
	if err := os.WriteFile(name, m.Core().Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

// buildProgram builds gokexec-remote as it is shipped.
func buildProgram(t *testing.T) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), remote.ProgramName)
	c := exec.CommandContext(t.Context(), "go", "build", "-tags", "nethttpomithttp2", "-o", name, ".")
	c.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := c.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return name
}

// A capture saves to real servers: log and manifest first, then the memory, encrypted or not.
func TestCaptureToServers(t *testing.T) {
	program, source := buildProgram(t), memory(t)
	key, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("AWS_ACCESS_KEY_ID", storelab.AccessKey)
	t.Setenv("AWS_SECRET_ACCESS_KEY", storelab.SecretKey)
	b, err := os.ReadFile(source)
	if err != nil {
		t.Fatal(err)
	}
	original, err := kdumpfile.Open(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	s3, ssh, cat := storelab.StartS3(t), storelab.StartSSH(t, true), storelab.StartSSH(t, false)
	for name, c := range map[string]struct {
		settings remote.Settings
		path     func(string) string
		encrypt  bool
	}{
		"s3":            {s3.Settings("plain"), func(n string) string { return s3.Path("plain/" + n) }, false},
		"s3, encrypted": {s3.Settings("sealed"), func(n string) string { return s3.Path("sealed/" + n) }, true},
		"sftp":          {ssh.Settings("x"), func(n string) string { return ssh.Path("x/" + n) }, false},
		"cat":           {cat.Settings("x"), func(n string) string { return cat.Path("x/" + n) }, true},
	} {
		t.Run(name, func(t *testing.T) {
			s := c.settings
			s.Machine = "00000000000040008000000000000001"
			suffix := ""
			if c.encrypt {
				s.Encrypt, suffix = []string{key.Recipient().String()}, ".age"
			}
			target, err := capture.ParseTarget(s.Location)
			if err != nil {
				t.Fatal(err)
			}
			target.Store = &s
			var console bytes.Buffer
			out := capture.NewConsole(&console)
			res, err := capture.Run(context.Background(), capture.Config{Targets: []capture.Target{target}, DumpLevel: "0"}, capture.Options{Source: source, RemoteProgram: program, Console: out})
			out.Close(time.Second)
			if err != nil || res.Outcome != capture.Complete {
				t.Fatalf("%+v, %v\n%s", res, err, &console)
			}
			directory := "crashes/" + s.Machine + "-" + crashTime + "/"
			b, err := os.ReadFile(c.path(directory + fleet.ManifestName))
			var m fleet.Manifest
			if err == nil {
				err = json.Unmarshal(b, &m)
			}
			if err != nil || m.VMCore != fleet.Stored || m.BuildID != "0123456789abcdef" || m.Encrypted != c.encrypt || m.Outcome != "complete" || len(m.Files) != 3 {
				t.Fatalf("%v: %s\n%s", err, b, &console)
			}
			read := func(name string) []byte {
				b, err := os.ReadFile(c.path(directory + name + suffix))
				if err != nil {
					t.Fatal(err)
				}
				if !c.encrypt {
					return b
				}
				var plain bytes.Buffer
				if err := seal.Decrypt(&plain, bytes.NewReader(b), []seal.Identity{key}); err != nil {
					t.Fatalf("%s: %v", name, err)
				}
				return plain.Bytes()
			}
			if log := read("dmesg.txt"); !bytes.Contains(log, []byte("a test")) {
				t.Errorf("log %q", log)
			}
			d, err := kdumpfile.Open(bytes.NewReader(read("vmcore")))
			if err != nil {
				t.Fatal(err)
			}
			if n := comparePages(t, original, d); n < 6000 {
				t.Errorf("%d pages are equal", n)
			}
			err = filepath.WalkDir(c.path(directory), func(path string, d fs.DirEntry, err error) error {
				if err == nil && strings.HasSuffix(path, ".part") {
					t.Errorf("left: %s", path)
				}
				return err
			})
			if err != nil {
				t.Error(err)
			}
			t.Logf("%s", &console)
		})
	}
}

// comparePages compares all pages of two dumps, and returns how many there are.
func comparePages(t *testing.T, a, b kdumpfile.Dump) int {
	t.Helper()
	n := 0
	var want, got [4096]byte
	for addr := memmap.PhysAddr(0); ; {
		r, err := a.NextHeld(addr)
		if err != nil {
			return n
		}
		for addr = r.Start; addr < r.End; addr += memmap.PhysAddr(len(want)) {
			if _, err := a.ReadPhysAt(want[:], addr); err != nil {
				continue // a part of a page
			}
			if _, err := b.ReadPhysAt(got[:], addr); err != nil || got != want {
				t.Fatalf("page %#x differs (%v)", addr, err)
			}
			n++
		}
	}
}

// The memory that it takes does not grow with what it stores.
func TestMemory(t *testing.T) {
	program := buildProgram(t)
	t.Setenv("AWS_ACCESS_KEY_ID", storelab.AccessKey)
	t.Setenv("AWS_SECRET_ACCESS_KEY", storelab.SecretKey)
	s3, ssh := storelab.StartS3(t), storelab.StartSSH(t, true)
	for name, s := range map[string]remote.Settings{"s3": s3.Settings("x"), "sftp": ssh.Settings("x")} {
		variable, err := remote.Job{Settings: s}.Variable()
		if err != nil {
			t.Fatal(err)
		}
		c := exec.CommandContext(t.Context(), program, "serve")
		c.Env = append(os.Environ(), variable)
		in, err := c.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		out, err := c.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		sender := remote.NewSender(in, out)
		if err := sender.Ready(); err != nil {
			t.Fatal(err)
		}
		begin := time.Now()
		const size = 256 << 20
		w, err := sender.Create(remote.Object{Name: "large", Estimate: size})
		if err != nil {
			t.Fatal(err)
		}
		chunk := bytes.Repeat([]byte("0123456789abcdef"), 64<<10)
		for range size / len(chunk) {
			if _, err := w.Write(chunk); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := w.Commit(); err != nil {
			t.Fatal(err)
		}
		took := time.Since(begin)
		peak, err := sysfs.ReadKiB(os.DirFS("/proc"), strconv.Itoa(c.Process.Pid)+"/status", "VmHWM")
		if err != nil {
			t.Fatal(err)
		}
		in.Close()
		_ = c.Wait()
		t.Logf("%s: %d MB in %v, %.0f MB/s; %d kB resident at most", name, size/1000000, took.Round(time.Millisecond), size/1e6/took.Seconds(), peak>>10)
		if peak == 0 || peak > 48<<20 {
			t.Errorf("%s: %d kB; want 48 MB at most", name, peak>>10)
		}
	}
}
