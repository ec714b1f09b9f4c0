package vm

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gokexec/gokexec/internal/vmlab"
	"github.com/gokexec/gokexec/pkg/capture"
)

// drillHooks are programs around the capture: Debian's shell with its libraries. One says what it is told, one
// hangs and leaves a process, one takes all memory.
var drillHooks = map[string]string{
	"pre":  "echo told $GOKEXEC_STAGE $GOKEXEC_KERNEL_RELEASE\necho x >/full\necho x >/tmp/own && echo own\nexit 3\n",
	"hang": "trap '' TERM\n(while :; do :; done) &\nwhile :; do :; done\n",
	"eat":  "x=0123456789abcdef\nwhile :; do x=$x$x; done\n",
	"post": "echo $GOKEXEC_OUTCOME $GOKEXEC_TARGET >$GOKEXEC_DIRECTORY/post.txt\n",
}

const drillConfig = `[Kernel]
Image=` + guestKernel + `
Append=console=ttyS0
[Hooks]
Pre=/usr/local/sbin/pre
Pre=/usr/local/sbin/hang
Pre=/usr/local/sbin/eat
Post=/usr/local/sbin/post
Timeout=20
`

// TestVMDrill proves the whole chain as its user does: armed, drill, capture with hooks, of which two do what must
// not cost the dump, second boot from the same disk, verified.
func TestVMDrill(t *testing.T) {
	t.Parallel()
	k := vmlab.GetTestKernel(t, "trixie-cloud")
	disk := emptyDisk(t, "var.img", 2<<30)
	run(t, "mke2fs", "-q", "-t", "ext4", "-U", filesystemUUID, disk)
	machine := func() *vmlab.Guest {
		g := vmlab.Boot(t, vmlab.Config{
			Kernel: k, Memory: 512, CrashKernel: "160M", Modules: []string{"ext4"}, Disks: []vmlab.Disk{{Source: disk}},
			Files: append(append(userland(t, k), debianShell(t, k)...), moduleTree(t, k, "nvme", "ext4")...),
		})
		shell(g, "mkdir -p /var; mount -t ext4 /dev/nvme0n1 /var; mkdir -p /var/crash")
		return g
	}
	g := machine()
	if r := g.Run(gokexec, "drill", "--yes"); r.Code != 3 {
		t.Errorf("a drill without a crash kernel: exit code %d; want 3\n%s%s", r.Code, r.Stdout, r.Stderr)
	}
	g.WriteFile("/etc/gokexec.conf", drillConfig)
	t.Logf("%s", g.Must(gokexec, "arm"))
	t.Logf("%s", g.Must(gokexec, "drill", "--dry-run"))
	g.Start(gokexec, "drill", "--yes", "--delay", "1s") // it never answers
	if end := g.WaitEnd(); end.Reason != "guest-reset" {
		t.Fatalf("the machine ended by %q; want guest-reset, the capture's reboot\n%s", end.Reason, g.VM.Console())
	}

	g = machine()
	r := g.Run(gokexec, "drill", "--verify")
	t.Logf("%s%s", r.Stdout, r.Stderr)
	if r.Code != 0 || !strings.Contains(r.Stdout, "8 pages have it") || !strings.Contains(r.Stdout, "knows of all memory") {
		t.Errorf("drill --verify: exit code %d; want 0, with pages and memory", r.Code)
	}
	var status struct {
		Last *struct {
			Passed bool
			Dump   string
			Away   *struct {
				Total float64 `json:"total_seconds"`
			}
		} `json:"last_drill"`
	}
	if err := json.Unmarshal([]byte(g.Run(gokexec, "status", "--json").Stdout), &status); err != nil || status.Last == nil || !status.Last.Passed || status.Last.Away == nil || status.Last.Away.Total <= 0 {
		t.Fatalf("status = %+v, %v; want a drill that passed, and how long the machine was away", status.Last, err)
	}
	if r := g.Run(gokexec, "drill", "--verify"); r.Code != 3 {
		t.Errorf("a second drill --verify: exit code %d; want 3", r.Code)
	}
	checkDrillHooks(t, g, status.Last.Dump)
	g.Reboot("poweroff")
	g.WaitEnd()
}

// checkDrillHooks looks at what the hooks have left.
func checkDrillHooks(t *testing.T, g *vmlab.Guest, dir string) {
	t.Helper()
	var result capture.Result
	text := g.ReadFile(filepath.Join(dir, capture.ResultName))
	if err := json.Unmarshal([]byte(text), &result); err != nil || len(result.Hooks) != 4 {
		t.Fatalf("%s, %v; want four hooks", text, err)
	}
	for i, want := range []struct{ program, err, output string }{
		{"pre", "exit code 3", "Read-only file system\nown\n"}, {"hang", "killed after 20s, its time limit", ""}, {"eat", "killed by signal 9", ""}, {"post", "", ""},
	} {
		h := result.Hooks[i]
		if h.Program != "/usr/local/sbin/"+want.program || !strings.HasPrefix(h.Error, want.err) || want.err == "" && h.Error != "" || !strings.Contains(h.Output, want.output) {
			t.Errorf("hook %d = %+v; want %+v", i, h, want)
		}
	}
	if post := g.ReadFile(filepath.Join(dir, "post.txt")); !strings.HasPrefix(post, "complete fs:UUID="+filesystemUUID) {
		t.Errorf("the post hook wrote %q", post)
	}
	t.Logf("%s; least available %d MB; hooks %+v", result.Summary(), result.Memory.MinMemAvailableBytes/1e6, result.Hooks)
}

// debianShell is a shell that is linked with libraries, where Debian has it, and the hooks.
func debianShell(t *testing.T, k *vmlab.Kernel) []vmlab.File {
	t.Helper()
	p := vmlab.GetArchPackage(t, "trixie", "dash", k.Arch)
	const libraries = "usr/lib/x86_64-linux-gnu/"
	files := []vmlab.File{
		vmlab.Executable("/usr/bin/dash", p.Path("usr/bin/dash")),
		vmlab.Executable("/"+libraries+"libc.so.6", p.Path(libraries+"libc.so.6")),
		vmlab.Executable("/"+libraries+"ld-linux-x86-64.so.2", p.Path(libraries+"ld-linux-x86-64.so.2")),
		{Path: "/lib64/ld-linux-x86-64.so.2", Link: "/" + libraries + "ld-linux-x86-64.so.2"},
	}
	dir := t.TempDir()
	for name, script := range drillHooks {
		source := filepath.Join(dir, name)
		if err := os.WriteFile(source, []byte("#!/usr/bin/dash\n"+script), 0o755); err != nil {
			t.Fatal(err)
		}
		files = append(files, vmlab.Executable("/usr/local/sbin/"+name, source))
	}
	return files
}
