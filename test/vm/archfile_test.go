package vm

import (
	"bytes"
	"compress/gzip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gokexec/gokexec/internal/imagetest"
	"github.com/gokexec/gokexec/internal/vmlab"
)

// fileKernel is an arm64 kernel that has kexec_file_load: Debian's have not, so it
// is built of Debian's source, once, when that is asked for.
func fileKernel(t *testing.T) *vmlab.Kernel {
	t.Helper()
	if os.Getenv("GOKEXEC_VM_ARM64_FILE") != "1" {
		t.Log("nothing is run without GOKEXEC_VM_ARM64_FILE=1 (make vm-arm64-file)")
		return nil
	}
	vmlab.Require(t, "arm64")
	k, err := vmlab.ARM64FileKernel(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// The main job on arm64 by kexec_file_load, which auto chooses there. The header is
// the kernel's own: it is held against gokexec's, in both directions.
func TestVMFileARM64Crash(t *testing.T) {
	k := fileKernel(t)
	if k == nil {
		return
	}
	tests := []struct {
		name   string
		kernel func(t *testing.T, image []byte) []byte
	}{
		{"Image", func(_ *testing.T, image []byte) []byte { return image }},
		{"Image.gz", gzipped},
		{"zboot", func(t *testing.T, image []byte) []byte {
			return imagetest.Zboot(gzipped(t, image), "gzip", uint32(len(image)))
		}},
	}
	image, err := os.ReadFile(k.Image)
	if err != nil {
		t.Fatal(err)
	}
	cfg := archMachine(t, k)
	for _, tt := range tests {
		cfg.Files = append(cfg.Files, vmlab.File{Path: "/boot/" + tt.name, Source: hostFile(t, tt.name, tt.kernel(t, image))})
	}
	cfg.Files = append(cfg.Files, vmlab.File{Path: "/boot/nothing", Data: []byte(strings.Repeat("no kernel ", 1000))})
	cfg.CPUs = 2
	g := vmlab.Boot(t, cfg)
	load := func(kernel string, more ...string) vmlab.Result {
		return g.Run(append([]string{gokexec, "load", "--crash", kernel, "--initrd", guestInitrd, "--append", consoleArg(k)}, more...)...)
	}
	for _, tt := range tests {
		r := load("/boot/" + tt.name)
		if r.Code != 0 || !strings.Contains(r.Stdout, "by kexec_file_load") {
			t.Fatalf("load %s: exit code %d\n%s%s\nwant 0, by kexec_file_load", tt.name, r.Code, r.Stdout, r.Stderr)
		}
		if s := readStatus(t, g); !s.CrashLoaded || s.Header.Accuracy != "accurate" {
			t.Errorf("status after loading %s: %+v; want an accurate header", tt.name, s)
		}
		g.Must(gokexec, "unload", "--crash")
	}
	for _, method := range []string{"file", "auto", "segments"} {
		if r := load("/boot/nothing", "--method", method); r.Code == 0 || readStatus(t, g).CrashLoaded {
			t.Errorf("load /boot/nothing --method %s: exit code %d, %s; want a refusal, and nothing loaded", method, r.Code, r.Stdout)
		}
	}
	// By segments, then by file over it: the kernel makes the same header.
	if r := load(guestKernel, "--method", "segments"); r.Code != 0 {
		t.Fatalf("load --method segments: exit code %d\n%s%s", r.Code, r.Stdout, r.Stderr)
	}
	ours := readHeader(t, g, "show", "--loaded")
	if r := load(guestKernel, "--method", "file"); r.Code != 0 {
		t.Fatalf("load --method file: exit code %d\n%s%s", r.Code, r.Stdout, r.Stderr)
	}
	ours.checkAgainstKernels(t, readHeader(t, g, "show", "--loaded"))
	crashSegments(t, g)
}

// An ordinary kexec by kexec_file_load, and what that kernel loads in turn.
func TestVMFileARM64Boot(t *testing.T) {
	k := fileKernel(t)
	if k == nil {
		return
	}
	cfg := vmlab.Config{Kernel: k, Memory: 1024, CPUs: 2, Machine: "virt,gic-version=3,its=off"}
	cfg.Files = []vmlab.File{vmlab.Executable("/bin/gokexec", vmlab.BuildTest(t, "./cmd/gokexec", k.Arch)),
		{Path: guestKernel, Source: k.Image}, {Path: "/boot/initrd", Source: chainInitramfs(t, k)}}
	g := vmlab.Boot(t, cfg)
	ram := bootRAM(t, g)
	for _, method := range []string{"file", "segments"} {
		said := g.Must(gokexec, "load", "--boot", guestKernel, "--initrd", "/boot/initrd", "--method", method, "--cmdline", g.VM.Config.AgentCmdline()+" by="+method)
		if want := map[string]string{"file": "by kexec_file_load", "segments": "by kexec_load"}[method]; !strings.Contains(said, want) {
			t.Errorf("load says %q; want %q", said, want)
		}
		last := g.VM.Hello.BootID
		g.Start(gokexec, "exec", "--force")
		g.VM.Hello = g.WaitHello()
		if g.VM.Hello.BootID == last || !strings.Contains(g.VM.Hello.Cmdline, "by="+method) {
			t.Fatalf("by %s: the next kernel is %+v; want another boot, with the new command line", method, g.VM.Hello)
		}
		if got := bootRAM(t, g); !got.Equal(ram) {
			t.Errorf("by %s: the next kernel sees RAM at %v; want %v", method, got, ram)
		}
	}
	g.Reboot("poweroff")
	g.WaitEnd()
}

func gzipped(t *testing.T, b []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	z := gzip.NewWriter(&out)
	if _, err := z.Write(b); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// hostFile is a file of the host, for what is too large for the channel.
func hostFile(t *testing.T, name string, content []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
