package debian

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gokexec/gokexec/internal/vmlab"
)

// Debian's own kdump-tools, unmodified, with gokexec's deb in place of kexec-tools:
// gokexec's units load in their sandbox; kdump-tools loads, unloads and reloads by gokexec,
// memory is added, the machine panics, and kdump-tools' capture service saves log and dump
// from the real root.
func TestVMKdumpTools(t *testing.T) {
	vmlab.DebianMatrix(t, []string{"bookworm", "trixie"}, func(t *testing.T, d *vmlab.Debian) {
		disk := d.TestDisk(t)
		g := boot(t, machine(t, d, disk))
		replaceKexecTools(g)
		useUnits(g)
		useKdumpConfig(g)
		keepAccurate(g)
		lastWords := "gokexec-test: the last words of " + d.Suite
		g.WriteFile("/dev/kmsg", "<3>"+lastWords+"\n")
		g.Must("sync")
		g.Crash()
		waitCapture(g)
		checkKdumpToolsDump(t, disk, d, lastWords)
	})
}

// replaceKexecTools installs the deb over kexec-tools, which goes; kdump-tools, which
// depends on it, stays as it is.
func replaceKexecTools(g *vmlab.Guest) {
	g.T.Helper()
	g.T.Log(g.Must("dpkg", "-i", guestDeb))
	state := func(name string) string {
		return strings.TrimSpace(g.Run("dpkg-query", "-W", "-f", "${db:Status-Abbrev}", name).Stdout)
	}
	if got := state("gokexec") + "," + state("kdump-tools"); got != "ii,ii" {
		g.T.Errorf("dpkg's states of gokexec and kdump-tools are %s; want ii,ii", got)
	}
	if got := state("kexec-tools"); got != "" && !strings.HasSuffix(got, "c") && !strings.HasSuffix(got, "n") {
		g.T.Errorf("dpkg's state of kexec-tools is %s; want it removed", got)
	}
	if audit := g.Must("dpkg", "--audit"); audit != "" {
		g.T.Errorf("dpkg --audit: %s", audit)
	}
	for _, name := range []string{"/sbin/kexec", "/usr/sbin/kexec", "/sbin/vmcore-dmesg", "/usr/bin/makedumpfile"} {
		if got := strings.TrimSpace(g.Must("readlink", "-f", name)); got != "/usr/sbin/gokexec" {
			g.T.Errorf("%s is %s; want /usr/sbin/gokexec", name, got)
		}
	}
	for line := range strings.Lines(g.Run("dpkg", "--verify", "kdump-tools").Stdout) {
		// The disk has no documentation.
		if !strings.Contains(line, "/usr/share/doc") && !strings.Contains(line, "/usr/share/man") {
			g.T.Errorf("kdump-tools is not as Debian made it: %s", line)
		}
	}
}

func useKdumpConfig(g *vmlab.Guest) {
	g.T.Helper()
	// What kexec-tools has loaded when the machine started.
	say(g, "unloaded kdump kernel", "kdump-config", "unload")
	say(g, "Not ready to kdump", "kdump-config", "status")
	if got := crashLoaded(g); got != "0" {
		g.T.Errorf("after kdump-config unload kexec_crash_loaded is %s; want 0", got)
	}
	say(g, "loaded kdump kernel", "kdump-config", "load")
	say(g, ": ready to kdump", "kdump-config", "status")
	if got := crashLoaded(g); got != "1" {
		g.T.Errorf("after kdump-config load kexec_crash_loaded is %s; want 1", got)
	}
	g.T.Log(say(g, "/sbin/kexec -p", "kdump-config", "show"))
	say(g, "loaded kdump kernel", "kdump-config", "try-reload")
	say(g, ": ready to kdump", "kdump-config", "status")
	g.Must("systemctl", "restart", "kdump-tools.service")
	say(g, ": ready to kdump", "kdump-config", "status")
	if got := accuracy(g); got != "accurate" {
		g.T.Errorf("after kdump-tools' load the header is %s; want accurate\n%s", got, g.Run("gokexec", "status").Stdout)
	}
	noFailures(g)
}

// keepAccurate adds memory under the real udevd: first the udev rules handle it,
// kdump-tools' and ours, then the daemon.
func keepAccurate(g *vmlab.Guest) {
	g.T.Helper()
	// As RHEL's, of a package that is installed later: it runs for each event, and unloads first.
	g.WriteFile("/usr/lib/udev/rules.d/98-kexec.rules", `SUBSYSTEM=="memory|cpu", ACTION=="add|remove|online|offline", RUN+="/bin/sh -c 'echo $kernel >>/run/theirs; kexec -p -u'"`+"\n")
	g.Must("udevadm", "control", "--reload")
	g.Must("/usr/lib/gokexec/gokexec-hide-rules", "hide") // as gokexec setup does
	addMemory(g, "rule")
	g.Must("udevadm", "settle")
	eventually(g, "the udev rule sees to the header", func() bool { return accuracy(g) == "accurate" })
	g.T.Log(g.Run("sh", "-c", "journalctl -b --no-pager | grep -E 'kdump-config|gokexec' | tail -20").Stdout)

	g.Must("systemctl", "enable", "--now", "gokexec-hotplug.service", "gokexec-hotplug-check.timer")
	addMemory(g, "daemon")
	g.Must("udevadm", "settle")
	eventually(g, "the daemon sees to the header", func() bool { return accuracy(g) == "accurate" })
	say(g, "active (running)", "systemctl", "status", "--no-pager", "gokexec-hotplug.service")
	if warnings := g.Must("journalctl", "-b", "-q", "--no-pager", "-p", "warning", "-u", "gokexec-hotplug.service"); warnings != "" {
		g.T.Errorf("the daemon's unit warns: %s", warnings)
	}
	say(g, ": ready to kdump", "kdump-config", "status")
	if r := g.Run("cat", "/run/theirs"); r.Code == 0 {
		g.T.Errorf("the distribution's rule acted too, for %s", r.Stdout)
	}
	exposure(g, "gokexec-hotplug.service", "gokexec-hotplug-event@1.service", "gokexec-hotplug-check.service")
	noFailures(g)
}

// waitCapture waits for the capture kernel's reboot, which ends the machine. There a
// whole systemd starts and makedumpfile compresses: more than one step.
func waitCapture(g *vmlab.Guest) {
	g.T.Helper()
	end, err := waitLong(g)
	if err != nil || end.Reason != "guest-reset" {
		g.T.Fatalf("the machine ended by %q, %v; want guest-reset, the capture's reboot", end.Reason, err)
	}
}

func checkKdumpToolsDump(t *testing.T, disk string, d *vmlab.Debian, lastWords string) {
	t.Helper()
	var dmesg, dump string
	files := savedIn(t, disk, "/var/crash")
	for _, file := range files {
		switch base := filepath.Base(file); {
		case strings.HasPrefix(base, "dmesg."):
			dmesg = file
		case strings.HasPrefix(base, "dump.") && !strings.Contains(base, "incomplete"):
			dump = file
		}
	}
	if dmesg == "" || dump == "" {
		t.Fatalf("kdump-tools saved %q; want dmesg.* and dump.*", files)
	}
	log, err := os.ReadFile(dmesg)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{lastWords, "Linux version " + d.Kernel.Release, "sysrq triggered crash"} {
		if !strings.Contains(string(log), want) {
			t.Errorf("kdump-tools' dmesg lacks %q", want)
		}
	}
	// Flattened: -R puts it together.
	whole := filepath.Join(t.TempDir(), "dump")
	in, err := os.Open(dump)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	restore := exec.Command("makedumpfile", "-R", whole)
	restore.Stdin = in
	if out, err := restore.CombinedOutput(); err != nil {
		t.Fatalf("makedumpfile -R: %v: %s", err, out)
	}
	head := make([]byte, 8)
	f, err := os.Open(whole)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.Read(head); err != nil || string(head) != "KDUMP   " {
		t.Errorf("the dump begins with %q, %v; want KDUMP", head, err)
	}
	text := filepath.Join(t.TempDir(), "log")
	if out, err := exec.Command("makedumpfile", "--dump-dmesg", whole, text).CombinedOutput(); err != nil {
		t.Fatalf("makedumpfile --dump-dmesg of the dump: %v: %s", err, out)
	}
	if again, err := os.ReadFile(text); err != nil || !strings.Contains(string(again), lastWords) {
		t.Errorf("the log in the dump lacks %q (%v)", lastWords, err)
	}
}
