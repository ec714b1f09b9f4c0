package debian

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// The rules that distributions reload by, and that gokexec's stands in for.
var hiddenRules = []string{"50-kdump-tools.rules", "60-kdump-tools.rules", "70-kdump.rules", "98-kexec.rules"}

// gokexec-hide-rules hides other rules by files of their name, and removes none but its own.
func TestHideRules(t *testing.T) {
	root := t.TempDir()
	rules := filepath.Join(root, "etc/udev/rules.d")
	play := func(what string) string {
		t.Helper()
		cmd := exec.Command("../../dist/udev/gokexec-hide-rules", what)
		cmd.Env = append(os.Environ(), "DPKG_ROOT="+root)
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%s: %v: %s", what, err, out)
		}
		return string(out)
	}
	listed := func() []string {
		entries, _ := os.ReadDir(rules)
		var names []string
		for _, e := range entries {
			names = append(names, e.Name())
		}
		return names
	}
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(rules, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if shown := strings.Fields(play("shown")); len(shown) != len(hiddenRules) || len(listed()) > 0 {
		t.Errorf("shown are %q; want all, and no change", shown)
	}
	said := play("hide")
	if shown := play("shown"); shown != "" {
		t.Errorf("hidden, shown are %q", shown)
	}
	if got := listed(); !slices.Equal(got, hiddenRules) || !strings.Contains(said, "98-kexec.rules") {
		t.Errorf("hidden are %q, said %q; want %q, also before their packages come", got, said, hiddenRules)
	}
	for _, name := range listed() {
		text, _ := os.ReadFile(filepath.Join(rules, name))
		for line := range strings.Lines(string(text)) {
			if !strings.HasPrefix(line, "#") {
				t.Errorf("%s: %q; want no rule in it", name, line)
			}
		}
	}
	first, _ := os.ReadFile(filepath.Join(rules, "98-kexec.rules"))
	// An older version's words, and an installation again.
	write("98-kexec.rules", strings.SplitAfter(string(first), "\n")[0]+"# other words\n")
	play("hide")
	if again, _ := os.ReadFile(filepath.Join(rules, "98-kexec.rules")); string(again) != string(first) {
		t.Errorf("a second time: %q; want %q", again, first)
	}
	// Those of the administrator: a rule, one added to ours, and a mask.
	write("98-kexec.rules", `SUBSYSTEM=="memory", RUN+="/root/mine"`+"\n")
	write("70-kdump.rules", string(first)+`SUBSYSTEM=="cpu", RUN+="/root/mine"`+"\n")
	mask := filepath.Join(rules, "60-kdump-tools.rules")
	if err := os.Remove(mask); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("/dev/null", mask); err != nil {
		t.Fatal(err)
	}
	if said := play("hide"); !strings.Contains(said, "98-kexec.rules was not made by gokexec") || !strings.Contains(said, "70-kdump.rules was not made by gokexec") {
		t.Errorf("said %q; want that the administrator's stay", said)
	}
	said = play("show")
	if got, want := listed(), []string{"60-kdump-tools.rules", "70-kdump.rules", "98-kexec.rules"}; !slices.Equal(got, want) || !strings.Contains(said, "50-kdump-tools.rules") {
		t.Errorf("after the removal there are %q, said %q; want the administrator's %q", got, said, want)
	}
	if said := play("show"); said != "" {
		t.Errorf("a second removal says %q", said)
	}
}

// The package's scripts change nothing when they install: gokexec setup hides the rules. When they remove, the rules
// are no longer hidden.
func TestPackageScripts(t *testing.T) {
	root := t.TempDir()
	for _, dir := range []string{"usr/sbin", "usr/lib/gokexec"} {
		if err := os.MkdirAll(filepath.Join(root, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	script, err := filepath.Abs("../../dist/udev/gokexec-hide-rules")
	if err == nil {
		err = os.WriteFile(filepath.Join(root, "usr/sbin/gokexec"), nil, 0o755)
	}
	if err == nil {
		err = os.Symlink(script, filepath.Join(root, "usr/lib/gokexec/gokexec-hide-rules"))
	}
	if err != nil {
		t.Fatal(err)
	}
	// A systemctl that only says what it is asked.
	bin := t.TempDir()
	if err := os.WriteFile(filepath.Join(bin, "systemctl"), []byte("#!/bin/sh\necho \"systemctl $*\"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	// An older version's configuration is named, and stays.
	old := filepath.Join(root, "etc/default/gokexec")
	if err := errors.Join(os.MkdirAll(filepath.Dir(old), 0o755), os.WriteFile(old, []byte("# x\nGOKEXEC_CRASH_OPTIONS='/boot/vmlinuz'\n"), 0o644)); err != nil {
		t.Fatal(err)
	}
	hidden := func() int {
		found, _ := filepath.Glob(root + "/etc/udev/rules.d/*")
		return len(found)
	}
	hide := func() {
		t.Helper()
		cmd := exec.Command(script, "hide")
		cmd.Env = append(os.Environ(), "DPKG_ROOT="+root)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("hide: %v: %s", err, out)
		}
	}
	for _, step := range []struct {
		script string
		args   []string
		hidden int
		says   string
		not    string
	}{
		{"postinst", []string{"configure", ""}, 0, "", "enable"},
		{"setup", nil, 4, "", ""},
		{"postinst", []string{"configure", "1.0"}, 4, "/etc/default/gokexec is not read any more", "enable"},
		{"prerm", []string{"upgrade", "1.1"}, 4, "", "systemctl"},
		{"prerm", []string{"remove"}, 0, "no longer hidden", ""},
		{"postinst", []string{"abort-remove"}, 0, "", "enable"},
		{"setup", nil, 4, "", ""},
		{"prerm", []string{"0"}, 0, "no longer hidden", ""}, // of an rpm
		{"postinst", []string{"1"}, 0, "", "enable"},
		{"setup", nil, 4, "", ""},
		{"postinst", []string{"2"}, 4, "", "enable"},
		{"prerm", []string{"1"}, 4, "", "systemctl"},
	} {
		if step.script == "setup" {
			hide()
			continue
		}
		cmd := exec.Command("sh", append([]string{"../../dist/package/" + step.script}, step.args...)...)
		cmd.Env = append(os.Environ(), "DPKG_ROOT="+root, "PATH="+bin+":"+os.Getenv("PATH"))
		out, err := cmd.CombinedOutput()
		if err != nil || hidden() != step.hidden || !strings.Contains(string(out), step.says) || step.not != "" && strings.Contains(string(out), step.not) {
			t.Errorf("%s %q: %v, %d rules hidden, said %q; want %d, %q, no %q", step.script, step.args, err, hidden(), out, step.hidden, step.says, step.not)
		}
	}
}

// The hotplug units are in a sandbox, unless another program loads; and the units that arm wait for what the
// targets lie on.
func TestGenerator(t *testing.T) {
	text, err := os.ReadFile("../../dist/systemd-generator/gokexec-generator")
	if err != nil {
		t.Fatal(err)
	}
	const noTargets = ""
	for _, tt := range []struct {
		command, targets string // as gokexec config prints them
		sandboxes        int
		mounts           string
		networks         int // of units that see the network
	}{
		{"", noTargets, 3, "", 0},
		{"kdumpctl reload\n", noTargets, 0, "", 0},
		{"", "nfs:nas:/dumps\n/var/crash\n", 3, "[Unit]\nRequiresMountsFor=/var/crash\n", 5},
		{"", "/var/crash\nraw:/dev/sdb\ndir:/data/x\nfs:UUID=1:/y\n", 3, "[Unit]\nRequiresMountsFor=/var/crash\nRequiresMountsFor=/data/x\n", 0},
		{"", "fs:UUID=1:/y\n", 3, "", 0},
		{"", "/a b\n/a%i\n", 3, "", 0}, // systemd would read them otherwise
	} {
		dir := t.TempDir()
		gokexec := "#!/bin/sh\ncase \"$*\" in\n'config --get Hotplug.ReloadCommand') printf '%s' '" + tt.command + "' ;;\n'config --get Capture.Target') printf '%s' '" + tt.targets + "' ;;\n'config --get Capture.FenceKdump') ;;\n*) echo \"$*\" >&2 ;;\nesac\n"
		if err := os.WriteFile(dir+"/gokexec", []byte(gokexec), 0o755); err != nil {
			t.Fatal(err)
		}
		script := strings.NewReplacer("@LIBDIR@", "/usr/lib/gokexec", "@SBINDIR@", dir).Replace(string(text))
		cmd := exec.Command("sh", "-s", dir)
		cmd.Stdin = strings.NewReader(script)
		if out, err := cmd.CombinedOutput(); err != nil || len(out) > 0 {
			t.Errorf("%+v: %v: %s", tt, err, out)
		}
		if links, _ := filepath.Glob(dir + "/*.service.d/50-gokexec-sandbox.conf"); len(links) != tt.sandboxes {
			t.Errorf("%+v: %q; want %d sandboxes", tt, links, tt.sandboxes)
		}
		if seeing, _ := filepath.Glob(dir + "/*.service.d/60-gokexec-network.conf"); len(seeing) != tt.networks {
			t.Errorf("%+v: %q; want %d units that see the network", tt, seeing, tt.networks)
		}
		for _, unit := range []string{"gokexec-crash", "gokexec-crash-early"} {
			if mounts, _ := os.ReadFile(dir + "/" + unit + ".service.d/50-gokexec-targets.conf"); string(mounts) != tt.mounts {
				t.Errorf("%+v: %s waits for %q; want %q", tt, unit, mounts, tt.mounts)
			}
		}
	}
}

// What every unit that loads has: bounds, and root's user keyring; and no condition on
// what gokexec has noted, as only the kernel knows whether something is loaded.
func TestUnits(t *testing.T) {
	units, err := filepath.Glob("../../dist/systemd/*.service")
	if err != nil || len(units) < 5 {
		t.Fatalf("units: %q, %v", units, err)
	}
	for _, unit := range units {
		b, err := os.ReadFile(unit)
		if err != nil {
			t.Fatal(err)
		}
		text := string(b)
		loads := strings.Contains(text, "gokexec arm") || strings.Contains(text, "gokexec hotplug")
		for _, want := range []string{"KeyringMode=shared", "TimeoutStopSec="} {
			if loads && !strings.Contains(text, want) {
				t.Errorf("%s lacks %s", unit, want)
			}
		}
		if strings.Contains(text, "Type=oneshot") && !strings.Contains(text, "TimeoutStartSec=") {
			t.Errorf("%s may start for ever", unit)
		}
		if strings.Contains(text, "/run/gokexec/crash.json") {
			t.Errorf("%s decides by a note whether something is loaded", unit)
		}
		if strings.Contains(filepath.Base(unit), "-crash") {
			for _, want := range []string{"gokexec arm --unless-armed\n", "ExecReload=@SBINDIR@/gokexec arm\n", "ProtectSystem=strict", "CapabilityBoundingSet=", "DeviceAllow=block-* r"} {
				if !strings.Contains(text, want) {
					t.Errorf("%s lacks %s", unit, want)
				}
			}
		}
	}
}
