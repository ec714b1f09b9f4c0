package main

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gokexec/gokexec/internal/imagetest"
	"github.com/gokexec/gokexec/pkg/capture"
	"github.com/gokexec/gokexec/pkg/initramfs"
)

// Hooks go in with what they need, and the configuration names them.
func TestInitramfsHooks(t *testing.T) {
	b := newBench(t)
	b.withDisk()
	program := imagetest.GoodELF(elf.EM_X86_64, binary.LittleEndian)
	init, out := b.file("gokexec", program.Bytes()), filepath.Join(b.dir, "out")
	for name, content := range map[string]string{"opt/hook": "#!/opt/sh -e\n", "opt/sh": string(program.Bytes()), "opt/text": "echo\n"} {
		b.kernel.Write(name, content)
		if err := os.Chmod(filepath.Join(b.kernel.Dir, name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	b.kernel.Write("opt/plain", "#!/opt/sh\n")
	if err := os.Chmod(filepath.Join(b.kernel.Dir, "opt/plain"), 0o644); err != nil {
		t.Fatal(err)
	}
	build := func(more ...string) []string {
		return append([]string{"initramfs", "-o", out, "--sysroot", b.dir, "-k", "9.9", "--init", init, "--compression", "none", "/var/crash"}, more...)
	}
	b.want(exitOK, "opt/sh", "", build("--list", "--hook-pre", "/opt/hook", "--hook-post", "/opt/../opt/hook", "--hook-post", "/opt/sh", "--hook-timeout", "9")...)
	image, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	contents, err := initramfs.Read(bytes.NewReader(image), maxInitrd)
	if err != nil {
		t.Fatal(err)
	}
	cfg, err := capture.ParseConfig(bytes.NewReader(contents.Settings))
	if h := cfg.Hooks; err != nil || strings.Join(h.Pre, " ") != "/opt/hook" || strings.Join(h.Post, " ") != "/opt/hook /opt/sh" || h.Emergency != nil || h.TimeoutSeconds != 9 {
		t.Errorf("hooks = %+v, %v", h, err)
	}
	for _, tt := range []struct {
		code int
		says string
		args []string
	}{
		{exitFailure, "/opt/none: program can't be taken over", []string{"--hook-pre", "/opt/none"}},
		{exitFailure, "neither an ELF program nor a script", []string{"--hook-emergency", "/opt/text"}},
		{exitFailure, "/opt/plain is not executable", []string{"--hook-post", "/opt/plain"}},
		{exitUsage, "hooks.timeout_seconds is 3601", []string{"--hook-timeout", "3601"}},
	} {
		b.want(tt.code, "", tt.says, build(tt.args...)...)
	}
	if after, err := os.ReadFile(out); err != nil || !bytes.Equal(after, image) {
		t.Errorf("%v; want the file as it was", err)
	}
}

// An armed machine has the hooks of its configuration, and a drill knows its targets.
func TestArmHooks(t *testing.T) {
	b := newArmBench(t)
	d := &fakeDrill{dir: filepath.Join(b.kernel.Dir, "var/lib/gokexec")}
	b.drill = d
	b.kernel.Write("proc/sysrq-trigger", "")
	b.kernel.Write("proc/sys/kernel/random/boot_id", "first\n")
	for name, content := range map[string]string{"opt/hook": "#!/opt/sh -e\n", "opt/sh": string(imagetest.GoodELF(elf.EM_X86_64, binary.LittleEndian).Bytes())} {
		b.kernel.Write(name, content)
		if err := os.Chmod(filepath.Join(b.kernel.Dir, name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	b.configure("[Hooks]\nPre=/opt/hook\nTimeout=7\n")
	b.want(exitOK, "", "", "arm")
	if got := b.armedConfig(); !strings.Contains(got, `"/opt/hook"`) || !strings.Contains(got, `"timeout_seconds": 7`) {
		t.Errorf("the configuration in the initramfs is %s", got)
	}
	loaded := b.kernel.Crash
	b.configure("[Hooks]\nPost=opt/hook\n")
	b.want(exitFailure, "", "/etc/gokexec.conf:4: [Hooks] Post=opt/hook", "arm")
	if b.kernel.Crash != loaded {
		t.Error("an arm that failed has changed what is loaded")
	}
	// What can't be taken over does not keep the machine from being armed, nor from being so later.
	b.configure("[Hooks]\nPre=/opt/hook\nPost=/opt/none\nPost=/opt/sh\n")
	b.want(exitOK, "armed with kernel", "gokexec: warning: the capture goes without /opt/none: ", "arm")
	if got := b.armedConfig(); strings.Contains(got, "none") || !strings.Contains(got, `"/opt/hook"`) || !strings.Contains(got, `"/opt/sh"`) {
		t.Errorf("the configuration in the initramfs is %s", got)
	}
	if err := os.Remove(filepath.Join(b.kernel.Dir, "opt/hook")); err != nil {
		t.Fatal(err)
	}
	b.want(exitOK, "", "", "reload", "--reload-method", "file")
	if got := b.armedConfig(); strings.Contains(got, `"/opt/hook"`) || !strings.Contains(got, `"/opt/sh"`) {
		t.Errorf("after a hook was removed the configuration in the initramfs is %s", got)
	}
	if log, err := os.ReadFile(b.kmsg); err != nil || !strings.Contains(string(log), "the capture goes without /opt/hook") {
		t.Errorf("kernel log = %s, %v; want the hook that is left out", log, err)
	}
	b.want(exitOK, "the dump is expected at "+armedDisk+":/srv/dumps", "", "drill", "--dry-run")
	b.want(exitFailure, "", "not in a test", "drill", "--yes", "--delay", "0")
	if !strings.Contains(string(d.record), `"path": "/srv/dumps"`) {
		t.Errorf("the record at the crash: %s", d.record)
	}
}
