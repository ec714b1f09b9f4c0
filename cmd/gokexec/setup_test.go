package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/gokexec/gokexec/internal/kexectest"
)

// setupMachine is a Debian with GRUB, systemd and kdump-tools, whose programs do what those of a machine do.
type setupMachine struct {
	*bench
	enabled, active map[string]bool
	ran             []string
	fail            string // a command that fails
	rules           bool   // the distribution's udev rules are in force
}

const (
	grubCfgPath = "boot/grub/grub.cfg"
	setupDropin = "etc/default/grub.d/zz-gokexec.cfg"
	notReserved = "BOOT_IMAGE=/boot/vmlinuz-6.12.1 root=/dev/vda1 ro quiet\n"
)

func newSetupMachine(t *testing.T) *setupMachine {
	m := &setupMachine{bench: newBench(t), enabled: map[string]bool{"kdump-tools.service": true}, active: map[string]bool{}, rules: true}
	for name, text := range map[string]string{
		"proc/cmdline": notReserved, "proc/iomem": strings.Replace(kexectest.Iomem, "  36000000-3dffffff : Crash kernel\n", "", 1),
		"etc/default/grub":       "GRUB_DEFAULT=0\nGRUB_CMDLINE_LINUX_DEFAULT=\"quiet\"\nGRUB_CMDLINE_LINUX=\"\"\n",
		grubCfgPath:              "menuentry 'Debian' {\n\tlinux\t/boot/vmlinuz-6.12.1 root=/dev/vda1 ro quiet\n}\n",
		"usr/sbin/grub-mkconfig": "for x in ${sysconfdir}/default/grub.d/*.cfg ; do\n", "usr/sbin/update-grub": "#!/bin/sh\n", "usr/bin/systemctl": "x", "run/systemd/system/x": "",
		"usr/lib/systemd/system/kdump-tools.service": "", "usr/lib/systemd/system/gokexec-crash.service": "", "usr/lib/systemd/system/gokexec-hotplug.service": "", "usr/lib/systemd/system/gokexec-hotplug-check.timer": "",
		"var/log/x": "", "usr/lib/gokexec/gokexec-hide-rules": "x",
	} {
		m.kernel.Write(name, text)
	}
	return m
}

// reserved is the machine after the boot with a reservation.
func (m *setupMachine) reserved() {
	m.kernel.Write("proc/iomem", kexectest.Iomem)
	m.kernel.Write("proc/cmdline", strings.TrimSpace(notReserved)+" crashkernel=128M\n")
}

var grubWord = regexp.MustCompile(` crashkernel=[0-9A-Za-z,:-]+`)

// run is the programs.
func (m *setupMachine) run(_ context.Context, argv ...string) (string, error) {
	line := strings.Join(argv, " ")
	query := len(argv) > 1 && (strings.HasPrefix(argv[1], "is-") || argv[1] == "shown")
	if !query {
		m.ran = append(m.ran, line)
	}
	if m.fail != "" && strings.HasPrefix(line, m.fail) {
		return "", errors.New(line + ": exit status 1: no space left on device")
	}
	unit := argv[len(argv)-1]
	switch {
	case argv[0] == "update-grub":
		var words string
		all, _ := filepath.Glob(filepath.Join(m.kernel.Dir, "etc/default/grub.d/*.cfg"))
		for _, name := range append([]string{filepath.Join(m.kernel.Dir, "etc/default/grub")}, all...) {
			text, _ := os.ReadFile(name)
			words += strings.Join(grubWord.FindAllString(string(text), -1), "")
		}
		text := grubWord.ReplaceAllString(m.read(grubCfgPath), "")
		m.kernel.Write(grubCfgPath, strings.Replace(text, "quiet", "quiet"+words, 1))
	case argv[0] == hideRules && argv[1] == "shown" && m.rules:
		return "50-kdump-tools.rules\n", nil
	case argv[0] == hideRules && argv[1] != "shown":
		m.rules = argv[1] == "show"
	case argv[0] == hideRules:
	case argv[1] == "is-enabled" && m.enabled[unit]:
		return "enabled\n", nil
	case argv[1] == "is-enabled":
		return "disabled\n", errors.New("exit status 1")
	case argv[1] == "is-active" && !m.active[unit]:
		return "", errors.New("exit status 3")
	case argv[1] == "enable", argv[1] == "disable":
		m.enabled[unit] = argv[1] == "enable"
	case argv[1] == "start", argv[1] == "stop":
		m.active[unit] = argv[1] == "start"
	}
	return "", nil
}

func (m *setupMachine) read(name string) string {
	text, err := os.ReadFile(filepath.Join(m.kernel.Dir, name))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		m.t.Fatal(err)
	}
	return string(text)
}

// files are all of the machine's but those of its memory.
func (m *setupMachine) files() map[string]string {
	all := map[string]string{}
	err := filepath.WalkDir(m.kernel.Dir, func(name string, d fs.DirEntry, err error) error {
		if info, err := d.Info(); err == nil && info.Mode().IsRegular() && info.Size() < 1<<20 {
			text, err := os.ReadFile(name)
			all[strings.TrimPrefix(name, m.kernel.Dir)] = string(text)
			return err
		}
		return err
	})
	if err != nil {
		m.t.Fatal(err)
	}
	return all
}

// setup runs the command.
func (m *setupMachine) setup(code int, stdout, stderr string, args ...string) {
	m.t.Helper()
	m.ran = nil
	m.stdout.Reset()
	m.stderr.Reset()
	e := &env{stdout: &m.stdout, stderr: &m.stderr, sysroot: m.kernel.Dir, stateDir: filepath.Join(m.kernel.Dir, "run/gokexec"), kernel: m.kernel, programs: m}
	got := run(context.Background(), e, append([]string{"setup"}, args...))
	if got != code || !strings.Contains(m.stdout.String(), stdout) || !strings.Contains(m.stderr.String(), stderr) {
		m.t.Errorf("setup %s = %d\nstdout: %s\nstderr: %s\nwant %d, %q, %q", strings.Join(args, " "), got, &m.stdout, &m.stderr, code, stdout, stderr)
	}
}

func TestSetup(t *testing.T) {
	m := newSetupMachine(t)
	before, wasEnabled := m.files(), maps.Clone(m.enabled)
	m.setup(exitOK, "would write /etc/default/grub.d/zz-gokexec.cfg\n    + # Made", "", "--dry-run")
	if !maps.Equal(m.files(), before) || len(m.ran) > 0 {
		t.Errorf("--dry-run changed the machine; it ran %q", m.ran)
	}
	m.setup(exitOK, "reboot: the memory is reserved by the next boot", "")
	if want := []string{"update-grub", "systemctl disable kdump-tools.service", "/usr/lib/gokexec/gokexec-hide-rules hide", "systemctl enable gokexec-crash.service", "systemctl enable gokexec-hotplug.service", "systemctl enable gokexec-hotplug-check.timer"}; !slices.Equal(m.ran, want) {
		t.Errorf("setup ran %q; want %q", m.ran, want)
	}
	word := grubWord.FindString(m.read(setupDropin))
	if word == "" || !strings.Contains(m.read(grubCfgPath), "quiet"+word) {
		t.Errorf("the drop-in is %q, grub.cfg %q", m.read(setupDropin), m.read(grubCfgPath))
	}
	for name, want := range map[string]fs.FileMode{"var/crash": 0o700 | fs.ModeDir, setupDropin: 0o644, "var/lib/gokexec/setup.json": 0o600} {
		if info, err := os.Stat(filepath.Join(m.kernel.Dir, name)); err != nil || info.Mode() != want {
			t.Errorf("%s: %v, %v; want mode %v", name, info, err, want)
		}
	}

	// Again, and after the boot, when it arms.
	done := m.files()
	m.setup(exitOK, "nothing to do", "")
	if len(m.ran) > 0 || !maps.Equal(m.files(), done) {
		t.Errorf("setup again ran %q", m.ran)
	}
	m.reserved()
	m.setup(exitOK, "start gokexec-crash.service", "")
	if want := []string{"systemctl daemon-reload", "systemctl start " + armUnit}; !m.active[armUnit] || !slices.Equal(m.ran, want) {
		t.Errorf("after the boot setup ran %q; want the unit started", m.ran)
	}
	m.setup(exitOK, "nothing to do\n", "")

	m.kernel.Write("proc/cmdline", notReserved)
	m.kernel.Write("proc/iomem", before["/proc/iomem"])
	m.setup(exitOK, "would remove /etc/default/grub.d/zz-gokexec.cfg", "", "--undo", "--dry-run")
	m.setup(exitOK, "remove /etc/default/grub.d/zz-gokexec.cfg", "", "--undo")
	if after := m.files(); !maps.Equal(after, before) {
		t.Errorf("undone, the machine differs: %v", differing(before, after))
	}
	for _, dir := range []string{"var/crash", "etc/default/grub.d", "var/lib"} {
		if _, err := os.Stat(filepath.Join(m.kernel.Dir, dir)); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("undone, %s is there: %v", dir, err)
		}
	}
	maps.DeleteFunc(m.enabled, func(_ string, on bool) bool { return !on })
	if !maps.Equal(m.enabled, wasEnabled) || m.active[armUnit] || !m.rules {
		t.Errorf("undone, enabled are %v, active %v; want %v and none", m.enabled, m.active, wasEnabled)
	}
	m.setup(exitOK, "nothing to do", "", "--undo")
}

func differing(a, b map[string]string) []string {
	var names []string
	for name := range b {
		if a[name] != b[name] {
			names = append(names, name)
		}
	}
	for name := range a {
		if _, ok := b[name]; !ok {
			names = append(names, name)
		}
	}
	return names
}

func TestSetupKeeps(t *testing.T) {
	t.Run("the reservation of the administrator", func(t *testing.T) {
		m := newSetupMachine(t)
		m.kernel.Write("etc/default/grub", "GRUB_CMDLINE_LINUX_DEFAULT=\"quiet crashkernel=900M\"\n")
		m.setup(exitOK, "reservation:  crashkernel=900M", "crashkernel=900M is in /etc/default/grub already and stays\n")
		if m.read(setupDropin) != "" || !strings.Contains(m.read(grubCfgPath), "crashkernel=900M") {
			t.Errorf("drop-in %q, grub.cfg %q; want none, and update-grub run", m.read(setupDropin), m.read(grubCfgPath))
		}
		m.setup(exitOK, "nothing to do", "")
		m.kernel.Write("etc/default/grub", "GRUB_CMDLINE_LINUX_DEFAULT=\"quiet crashkernel=2G-:8M\"\n")
		m.setup(exitOK, "", "reserves nothing on this machine; --crashkernel", "--dry-run")
		m.setup(exitOK, "", "", "--crashkernel", "300M")
		if !strings.Contains(m.read(setupDropin), "crashkernel=300M") {
			t.Errorf("drop-in %q; want 300M", m.read(setupDropin))
		}
	})
	t.Run("the distribution's kdump in charge", func(t *testing.T) {
		m := newSetupMachine(t)
		m.setup(exitOK, "", "", "--keep-kdump")
		if !m.enabled["kdump-tools.service"] || m.enabled[armUnit] || !m.enabled["gokexec-hotplug-check.timer"] {
			t.Errorf("enabled: %v; want kdump-tools, and all of ours but %s", m.enabled, armUnit)
		}
		if m.rules {
			t.Error("the distribution's rules act beside gokexec's")
		}
		m.setup(exitOK, "", "")
		if m.enabled["kdump-tools.service"] || !m.enabled[armUnit] {
			t.Errorf("without it, enabled: %v; want ours", m.enabled)
		}
		m.setup(exitOK, "", "", "--keep-kdump")
		if !m.enabled["kdump-tools.service"] || m.enabled[armUnit] {
			t.Errorf("with it again, enabled: %v; want kdump-tools", m.enabled)
		}
	})
	t.Run("what was edited since", func(t *testing.T) {
		m := newSetupMachine(t)
		m.setup(exitOK, "", "")
		edited := m.read(setupDropin) + "# mine\n"
		m.kernel.Write(setupDropin, edited)
		m.setup(exitOK, "", setupDropin+" was changed since and stays as it is; take crashkernel=", "--undo")
		if m.read(setupDropin) != edited {
			t.Errorf("undo changed the file to %q", m.read(setupDropin))
		}
	})
	t.Run("dumps", func(t *testing.T) {
		m := newSetupMachine(t)
		m.setup(exitOK, "", "")
		m.kernel.Write("var/crash/202611291800/vmcore", "memory")
		m.setup(exitOK, "", "", "--undo")
		if m.read("var/crash/202611291800/vmcore") == "" {
			t.Error("undo removed a dump")
		}
	})
}

func TestSetupFails(t *testing.T) {
	t.Run("the boot loader's command, and again", func(t *testing.T) {
		m := newSetupMachine(t)
		before := m.files()
		m.fail = "update-grub"
		m.setup(exitFailure, `"done": true`, "run update-grub", "--json")
		m.setup(exitFailure, "", "run update-grub: update-grub: exit status 1: no space left on device\nhint: add crashkernel=")
		m.fail = ""
		other := *m
		m.setup(exitOK, "run update-grub", "")
		m.setup(exitOK, "", "", "--undo")
		if after := other.files(); !maps.Equal(after, before) {
			t.Errorf("undone, the machine differs: %v", differing(before, after))
		}
	})
	t.Run("a command without effect", func(t *testing.T) {
		m := newSetupMachine(t)
		m.kernel.Write("usr/sbin/update-grub", "")
		m.fail = ""
		deaf := &deafPrograms{m}
		e := &env{stdout: &m.stdout, stderr: &m.stderr, sysroot: m.kernel.Dir, kernel: m.kernel, programs: deaf}
		if code := run(context.Background(), e, []string{"setup"}); code != exitFailure || !strings.Contains(m.stderr.String(), "lacks crashkernel=") {
			t.Errorf("setup = %d, %s; want a failure", code, &m.stderr)
		}
	})
	t.Run("no boot loader", func(t *testing.T) {
		m := newSetupMachine(t)
		for _, name := range []string{grubCfgPath, "usr/sbin/grub-mkconfig", "usr/sbin/update-grub"} {
			if err := os.Remove(filepath.Join(m.kernel.Dir, name)); err != nil {
				t.Fatal(err)
			}
		}
		m.setup(exitByHand, "enable gokexec-crash.service", "hint: add crashkernel=")
		m.reserved()
		m.setup(exitOK, "start gokexec-crash.service", "crashkernel=128M is in /proc/cmdline already and stays")
	})
	t.Run("no service", func(t *testing.T) {
		m := newSetupMachine(t)
		if err := os.Remove(filepath.Join(m.kernel.Dir, "usr/lib/systemd/system", armUnit)); err != nil {
			t.Fatal(err)
		}
		m.setup(exitByHand, "run update-grub", "hint: have \"gokexec arm\" run at each boot")
	})
	t.Run("a file that is not understood", func(t *testing.T) {
		m := newSetupMachine(t)
		m.kernel.Write("usr/sbin/grub-mkconfig", "#!/bin/sh\n") // without drop-ins
		m.kernel.Write("etc/default/grub", "GRUB_CMDLINE_LINUX_DEFAULT=\"$(cat /x)\"\n")
		before := m.files()
		m.setup(exitFailure, "", "/etc/default/grub: line 1: the value of GRUB_CMDLINE_LINUX_DEFAULT is not understood\nhint: add crashkernel=")
		if !maps.Equal(m.files(), before) {
			t.Error("a failed setup changed the machine")
		}
	})
	t.Run("a link out of the machine", func(t *testing.T) {
		m := newSetupMachine(t)
		outside := filepath.Join(t.TempDir(), "outside")
		if err := os.Mkdir(outside, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(outside, filepath.Join(m.kernel.Dir, "etc/default/grub.d")); err != nil {
			t.Fatal(err)
		}
		m.setup(exitFailure, "", "lacks crashkernel=") // this update-grub follows the link out of the machine
		if list, _ := os.ReadDir(outside); len(list) > 0 || m.read(outside+"/zz-gokexec.cfg") == "" {
			t.Errorf("setup wrote %v outside of the machine", list)
		}
	})
	t.Run("a file that can't be written", func(t *testing.T) {
		m := newSetupMachine(t)
		m.kernel.Write("etc/default/grub.d", "no directory\n")
		m.setup(exitFailure, "", "setup: write /etc/default/grub.d/zz-gokexec.cfg: not a directory\nhint: add crashkernel=")
	})
	t.Run("command lines", func(t *testing.T) {
		m := newSetupMachine(t)
		m.setup(exitUsage, "", "--crashkernel: bad value", "--crashkernel", "lots")
		m.setup(exitUsage, "", "--undo takes back all", "--undo", "--keep-kdump")
		m.setup(exitUsage, "", "--target", "--target", "nonsense:")
		m.setup(exitUsage, "", "unexpected argument", "x")
		m.setup(exitFailure, "", "--import: no kdump is configured", "--import")
		m.kernel.Write("var/lib/gokexec/setup.json", "{")
		m.setup(exitFailure, "", "hint: remove the file")
		m.kernel.Write("var/lib/gokexec/setup.json", `{"version": 99}`)
		m.setup(exitFailure, "", "version 99, this gokexec knows 1", "--undo")
	})
}

// deafPrograms run without an effect.
type deafPrograms struct{ *setupMachine }

func (d *deafPrograms) run(ctx context.Context, argv ...string) (string, error) {
	if argv[0] == "update-grub" {
		return "", nil
	}
	return d.setupMachine.run(ctx, argv...)
}

func TestSetupConfig(t *testing.T) {
	m := newSetupMachine(t)
	before := m.files()
	m.kernel.Write("etc/default/kdump-tools", "USE_KDUMP=1\nKDUMP_COREDIR=\"/srv/crash\"\nKDUMP_FAIL_CMD=\"true\"\n")
	m.kernel.Write("data/x", "")
	before["/data/x"] = ""
	m.setup(exitFailure, "", "target dir:/nowhere: there is no such directory", "--target", "/nowhere")
	m.kernel.Write("etc/gokexec.conf", "[Capture]\nTarget=/elsewhere\nDumpLevel=lots\n")
	m.setup(exitFailure, "", "/etc/gokexec.conf:3: [Capture] DumpLevel=lots", "--target", "/data")
	m.kernel.Write("etc/gokexec.conf", "[Capture]\nTarget=/elsewhere\n")
	before["/etc/gokexec.conf"] = m.read("etc/gokexec.conf")
	if after := m.files(); after["/etc/gokexec.conf.d/50-setup.conf"] != "" || after["/"+setupDropin] != "" {
		t.Errorf("a setup that was refused changed %v", differing(before, after))
	}
	m.setup(exitOK, "write /etc/gokexec.conf.d/50-setup.conf", "not imported: /etc/default/kdump-tools:3: KDUMP_FAIL_CMD", "--import", "--target", "/data")
	if text := m.read("etc/gokexec.conf.d/50-setup.conf"); !strings.Contains(text, "[Capture]\nTarget=\nTarget=/data\n") {
		t.Errorf("50-setup.conf = %q", text)
	}
	m.setup(exitOK, "nothing to do", "", "--import", "--target", "/data")
	m.setup(exitOK, "", "", "--undo")
	before["/etc/default/kdump-tools"] = m.read("etc/default/kdump-tools")
	if after := m.files(); !maps.Equal(after, before) {
		t.Errorf("undone, the machine differs: %v", differing(before, after))
	}
}

func TestSetupReport(t *testing.T) {
	m := newSetupMachine(t)
	m.setup(exitOK, "", "", "--json", "--dry-run", "--crashkernel", "1G,high 72M,low")
	var r setupReport
	if err := json.NewDecoder(bytes.NewReader(m.stdout.Bytes())).Decode(&r); err != nil {
		t.Fatal(err)
	}
	if r.Loader != "GRUB" || r.Crashkernel != "crashkernel=1G,high crashkernel=72M,low" || !r.Reboot || !r.DryRun || len(r.Steps) != 8 || r.Steps[0].Action != "write" || r.Steps[0].Object != "/"+setupDropin {
		t.Errorf("report = %+v", r)
	}
}

// A boot entry that came after setup is freed of the reservation too.
func TestSetupUndoLater(t *testing.T) {
	m := newSetupMachine(t)
	var loader []byte
	for _, c := range append([]byte("systemd-boot 257.9-1"), 0) {
		loader = append(loader, c, 0)
	}
	m.kernel.Write("sys/firmware/efi/efivars/LoaderInfo-4a67b082-0a4c-41cf-b6c7-440b29bb8c4f", "\x06\x00\x00\x00"+string(loader))
	const entry, later = "boot/efi/loader/entries/debian-6.12.1.conf", "boot/efi/loader/entries/debian-6.13.conf"
	m.kernel.Write(entry, "linux /debian/6.12.1/linux\noptions root=UUID=1 ro\n")
	m.kernel.Write("etc/kernel/cmdline", "root=UUID=1 ro\n")
	before := m.files()
	m.setup(exitOK, "boot loader:  boot entries (systemd-boot)", "", "--crashkernel", "200M")
	options := "options " + m.read("etc/kernel/cmdline")
	if want := "options root=UUID=1 ro crashkernel=200M\n"; options != want || !strings.HasSuffix(m.read(entry), want) {
		t.Errorf("/etc/kernel/cmdline makes %q, the entry is %q; want %q", options, m.read(entry), want)
	}
	m.kernel.Write(later, "linux /debian/6.13/linux\n"+options)
	m.setup(exitOK, "write /"+later, "", "--undo")
	before["/"+later] = "linux /debian/6.13/linux\noptions root=UUID=1 ro\n"
	if after := m.files(); !maps.Equal(after, before) {
		t.Errorf("undone, the machine differs: %v; the later entry is %q", differing(before, after), m.read(later))
	}
}
