package debian

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// stage installs the tree with a stand-in for the binary, and gives a shell function's
// world around a hook: what the builder would be asked is printed.
func stage(t *testing.T) string {
	t.Helper()
	root := t.TempDir()
	for _, hook := range []struct{ from, to string }{
		{"dracut/50gokexec/module-setup.sh", "module-setup.sh"}, {"mkinitcpio/install/gokexec", "mkinitcpio"},
		{"initramfs-tools/hooks/gokexec", "initramfs-tools"},
	} {
		text, err := os.ReadFile(filepath.Join("../../dist", hook.from))
		if err != nil {
			t.Fatal(err)
		}
		filled := strings.NewReplacer("@SBINDIR@", root+"/sbin", "@LIBDIR@", root+"/lib",
			"/usr/bin/makedumpfile", root+"/bin/makedumpfile",
			"/usr/share/initramfs-tools/hook-functions", root+"/hook-functions").Replace(string(text))
		if err := os.WriteFile(filepath.Join(root, hook.to), []byte(filled), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	functions := "copy_exec() { echo \"copy_exec $*\"; }\ncopy_file() { echo \"copy_file $*\"; }\n"
	if err := os.WriteFile(filepath.Join(root, "hook-functions"), []byte(functions), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{"bin", "sbin", "image/usr/sbin"} {
		if err := os.MkdirAll(filepath.Join(root, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	const gokexec = `#!/bin/sh
cd "${0%/*}/.."
case "$*" in
"config --targets") if [ -e refused ]; then echo "gokexec: config: refused" >&2; exit 1; fi; cat targets 2>/dev/null || : ;;
"config --get Initramfs.UpdateInitramfs") cat update 2>/dev/null || : ;;
*) echo "gokexec $*: not expected" ;;
esac
`
	if err := os.WriteFile(filepath.Join(root, "sbin/gokexec"), []byte(gokexec), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.Symlink("gokexec", filepath.Join(root, "sbin/kexec")), os.Symlink("../sbin/gokexec", filepath.Join(root, "bin/makedumpfile"))); err != nil {
		t.Fatal(err)
	}
	return root
}

const stubs = `
for f in inst_binary inst_script inst_hook instmods add_binary add_file add_runscript; do
	eval "$f() { echo $f \"\$@\"; }"
done
require_binaries() { [ -x "$1" ]; }
error() { echo "error: $*" >&2; }
`

func TestBuilderHooks(t *testing.T) {
	const targets = "fs:UUID=1-2:/var/crash raw:/dev/sdb1"
	tests := []struct {
		name, script string
		environment  string            // targets in the environment
		files        map[string]string // what gokexec config says: targets, update; refused if the targets can't be there
		want         string
		not          string
		code         int
		listed       string // of the image's etc/gokexec/targets
	}{
		{name: "dracut", script: "initdir=$PWD/image moddir=/mod; . ./module-setup.sh; install", environment: targets,
			want: "inst_hook pre-mount 05 /mod/gokexec-hook.sh", listed: "fs:UUID=1-2:/var/crash\nraw:/dev/sdb1\n"},
		{name: "dracut without targets", script: "initdir=$PWD/image moddir=/mod; . ./module-setup.sh; install; readlink image/usr/sbin/kexec",
			want: "inst_binary", not: "inst_hook"},
		{name: "dracut links", script: "initdir=$PWD/image moddir=/mod; . ./module-setup.sh; install; readlink image/usr/sbin/kexec; ls image/usr/sbin", want: "gokexec\nkexec\nmakedumpfile\n", not: "vmcore-dmesg"},
		{name: "dracut only if asked", script: ". ./module-setup.sh; check", code: 255},
		{name: "dracut without gokexec", script: "rm sbin/gokexec; . ./module-setup.sh; check", code: 1},
		{name: "dracut with configured targets", script: "initdir=$PWD/image moddir=/mod; . ./module-setup.sh; install", files: map[string]string{"targets": "raw:/dev/sdb1\n"},
			want: "inst_hook pre-mount 05 /mod/gokexec-hook.sh", listed: "raw:/dev/sdb1\n"},
		{name: "dracut for another tree", script: "dracutsysrootdir=/other initdir=$PWD/image moddir=/mod; . ./module-setup.sh; install", files: map[string]string{"targets": "raw:/dev/sdb1\n"},
			want: "inst_binary", not: "inst_hook"},
		{name: "dracut with a bad target", script: "initdir=$PWD/image moddir=/mod; . ./module-setup.sh; install", files: map[string]string{"refused": "y"}, want: "config: refused", not: "inst_hook", code: 1},
		{name: "mkinitcpio", script: "BUILDROOT=$PWD/image; . ./mkinitcpio; build", files: map[string]string{"targets": "raw:/dev/sdb1\n"},
			want: "add_runscript", listed: "raw:/dev/sdb1\n"},
		{name: "mkinitcpio without targets", script: "BUILDROOT=$PWD/image; . ./mkinitcpio; build", want: "has no Target=", not: "add_runscript", code: 1},
		{name: "mkinitcpio with a bad target", script: "BUILDROOT=$PWD/image; . ./mkinitcpio; build", files: map[string]string{"refused": "y"}, want: "config: refused", not: "add_runscript", code: 1},
		{name: "initramfs-tools", script: "export DESTDIR=$PWD/image; ./initramfs-tools", files: map[string]string{"update": "yes\n", "targets": strings.ReplaceAll(targets, " ", "\n")},
			want: "gokexec-capture", listed: "fs:UUID=1-2:/var/crash\nraw:/dev/sdb1\n"},
		{name: "initramfs-tools by its environment", script: "export DESTDIR=$PWD/image; ./initramfs-tools", environment: targets,
			want: "gokexec-capture", listed: "fs:UUID=1-2:/var/crash\nraw:/dev/sdb1\n"},
		{name: "initramfs-tools not asked", script: "export DESTDIR=$PWD/image; ./initramfs-tools", files: map[string]string{"targets": targets}, not: "copy"},
		{name: "initramfs-tools with a bad target", script: "export DESTDIR=$PWD/image; ./initramfs-tools", files: map[string]string{"update": "yes\n", "refused": "y"}, want: "saves no dumps", not: "copy"},
		{name: "initramfs-tools prereqs", script: "./initramfs-tools prereqs", environment: targets, not: "copy"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			root := stage(t)
			for name, text := range tt.files {
				if err := os.WriteFile(filepath.Join(root, name), []byte(text), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			cmd := exec.Command("bash", "-c", stubs+tt.script)
			cmd.Dir = root
			cmd.Env = append(os.Environ(), "GOKEXEC_CAPTURE_TARGETS="+tt.environment)
			out, _ := cmd.CombinedOutput()
			if got := cmd.ProcessState.ExitCode(); got != tt.code {
				t.Errorf("exit code %d; want %d: %s", got, tt.code, out)
			}
			if !strings.Contains(string(out), tt.want) || tt.not != "" && strings.Contains(string(out), tt.not) {
				t.Errorf("the builder is asked %q; want %q, and no %q", out, tt.want, tt.not)
			}
			listed, err := os.ReadFile(filepath.Join(root, "image/etc/gokexec/targets"))
			if string(listed) != tt.listed || (err == nil) != (tt.listed != "") {
				t.Errorf("targets in the image = %q, %v; want %q", listed, err, tt.listed)
			}
		})
	}
}
