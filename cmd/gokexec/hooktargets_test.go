package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/gokexec/gokexec/pkg/capture"
)

// A target with any label and path goes through the hooks of dracut and mkinitcpio
// as one line of /etc/gokexec/targets, which gokexec capture reads as the same.
func TestHookTargets(t *testing.T) {
	var targets []capture.Target
	var words []string
	for _, label := range []string{"my data", "/", "/boot", `a"b'c`, `back\slash`, `\x41`, "größe", "*", "[a]?", "$(x) `y`", "a:/b", "a\tb"} {
		target := capture.Target{Type: capture.TargetFilesystem, Device: "LABEL=" + strings.ReplaceAll(label, `\`, `\x5c`), Path: "/my crash dir"}
		targets = append(targets, target)
		words = append(words, target.String())
	}
	for hook, call := range map[string]string{
		"dracut/50gokexec/module-setup.sh": `inst_binary() { :; }; inst_script() { :; }; inst_hook() { :; }; initdir=$1; install`,
		"mkinitcpio/install/gokexec":       `add_binary() { :; }; add_file() { :; }; add_runscript() { :; }; BUILDROOT=$1; build`,
	} {
		dir := t.TempDir()
		if err := os.MkdirAll(filepath.Join(dir, "usr/sbin"), 0o755); err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command("bash", "-c", ". ../../dist/"+hook+"\n"+call, "bash", dir)
		cmd.Env = append(os.Environ(), "GOKEXEC_CAPTURE_TARGETS="+strings.Join(words, " "))
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", hook, err, out)
		}
		text, err := os.ReadFile(filepath.Join(dir, "etc/gokexec/targets"))
		if err != nil {
			t.Fatal(err)
		}
		lines := strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")
		if !slices.Equal(lines, words) {
			t.Errorf("%s writes %q; want %q", hook, lines, words)
		}
		for i, line := range lines {
			got, err := capture.ParseTarget(line)
			if err != nil || got.String() != targets[i].String() || got.Path != targets[i].Path {
				t.Errorf("%s: %q is read as %+v, %v; want %+v", hook, line, got, err, targets[i])
			}
		}
	}
}
