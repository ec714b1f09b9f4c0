package vm

import (
	"slices"
	"strings"
	"testing"

	"github.com/gokexec/gokexec/internal/vmlab"
	"github.com/gokexec/gokexec/pkg/memmap"
)

// kexecLine is a command line of kexec(8), and what is loaded before it.
type kexecLine struct {
	before string // "crash", "boot" or "": nothing
	argv   string // K, I: a kernel and an initrd; '~' is a blank in a word
	user   string // "": root
}

// kexecLines have both programs load, unload and fail for real.
var kexecLines = []kexecLine{
	{"", "-p --command-line=console=ttyS0~irqpoll --initrd=I K", ""},
	{"", "-ps --reuse-cmdline --append nr_cpus=1 K", ""},
	{"", "-c -p K --append=console=ttyS0 --initrd=I", ""},
	{"", "-p K --append=a --initrd=I -a", ""},
	{"crash", "-p K --append=another", ""},
	{"crash", "-c -p K --append=another", ""},
	{"crash", "-p -u", ""},
	{"crash", "-s -p -u", ""},
	{"crash", "-c -p -u", ""},
	{"crash", "-u", ""},
	{"", "-p -u", ""},
	{"crash", "-u -p", ""},
	{"crash", "-S", ""},
	{"crash", "-l -S", ""},
	{"", "-S", ""},
	{"boot", "-lS", ""},
	{"", "-l K --initrd=I --append=root=/dev/vda1", ""},
	{"", "-c -l K --reuse-cmdline", ""},
	{"boot", "-u", ""},
	{"boot", "-u -a", ""},
	{"", "-e", ""},
	{"crash", "-e", ""},
	{"crash", "-p /nonexistent", ""},
	{"crash", "-p K --initrd=/nonexistent", ""},
	{"crash", "-c -p K --initrd=/nonexistent", ""},
	{"", "-p K", "nobody"},
	{"crash", "-p -u", "nobody"},
	{"crash", "-c -p -u", "nobody"},
	{"", "-c -t nosuch -l K", ""},
	{"", "--hotplug -c -p K", ""},
	{"", "--print-ckr-size", ""},
}

// sameIn2025 is whether kexec-tools 2.0.25 has to do the same: without a choice of the
// system call it takes another one, and it knows no --hotplug.
func (l kexecLine) sameIn2025() bool {
	if strings.Contains(l.argv, "--hotplug") {
		return false
	}
	for _, w := range strings.Fields(l.argv) {
		if w == "-c" || w == "-s" || w == "-ps" || w == "-a" || strings.HasSuffix(w, "S") || w == "--print-ckr-size" {
			return true
		}
	}
	return false
}

// As kexec(8) gokexec does to a real kernel what kexec-tools does: the same exit code,
// the same first word to the user, and the same is loaded afterwards.
func TestVMKexecCommands(t *testing.T) {
	t.Parallel()
	k := vmlab.GetTestKernel(t, vmlab.MatrixNames()[0])
	cfg := crashMachine(t, k)
	cfg.Cmdline = `dyndbg="func no_such_function +p` // a quote that is never closed, for --reuse-cmdline
	cfg.Files = append(cfg.Files, vmlab.File{Path: "/sbin/kexec", Link: "/bin/gokexec"}, smallInitrd(t))
	originals := map[string][]string{} // by version
	for version, from := range map[string]struct{ suite, path string }{"2.0.25": {"bookworm", "usr/sbin/kexec"}, "2.0.32": {"sid", "sbin/kexec"}} {
		theirs, err := vmlab.GetTestPackage(t, from.suite, "kexec-tools").GuestProgram(from.path)
		if err != nil {
			t.Fatal(err)
		}
		cfg.Files = append(cfg.Files, theirs.Files...)
		originals[version] = theirs.Argv
	}
	g := vmlab.Boot(t, cfg)
	newest := originals["2.0.32"]
	for _, line := range kexecLines {
		ours := runKexec(g, line, newest, "/sbin/kexec")
		for version, argv := range originals {
			if version == "2.0.25" && !line.sameIn2025() {
				continue
			}
			if original := runKexec(g, line, newest, argv...); ours != original {
				t.Errorf("after %q, kexec %s: %+v; kexec-tools %s %+v", line.before, line.argv, ours, version, original)
			}
		}
	}
	// What kexec has loaded gokexec can load again.
	g.Must("/sbin/kexec", "-p", guestKernel, "--initrd="+guestInitrd, "--command-line=console=ttyS0 irqpoll acpi_no_memhotplug")
	g.Must(gokexec, "reload")
	crashByKexec(t, g)
}

// crashByKexec loads with the options that change where things go, and crashes: the
// dump is complete nevertheless.
func crashByKexec(t *testing.T, g *vmlab.Guest) {
	t.Helper()
	iomem, err := memmap.ParseIomem(strings.NewReader(g.ReadFile("/proc/iomem")))
	if err != nil {
		t.Fatal(err)
	}
	crash := iomem.CrashKernel()
	bound := crash[len(crash)-1].Start + 3<<20
	g.Must("/sbin/kexec", "-c", "-p", guestKernel, "--initrd="+guestInitrd, "--pass-memmap-cmdline", "--mem-min="+bound.String(), "--console-serial",
		"--command-line=console=ttyS0 nr_cpus=1 reset_devices irqpoll acpi_no_memhotplug panic=10")
	if r := g.Run(gokexec, "status"); r.Code != 0 || !strings.Contains(r.Stdout, "accurate") {
		t.Errorf("status after kexec -c -p: exit code %d; want 0\n%s%s", r.Code, r.Stdout, r.Stderr)
	}
	crashSegments(t, g)
}

// kexecOutcome is what a command line comes to.
type kexecOutcome struct {
	code           int
	stdout, stderr string // the first line, or "usage"
	crash, boot    string // kexec_crash_loaded, kexec_loaded
}

// runKexec has kexec-tools prepare what a line begins with, and the program run it.
func runKexec(g *vmlab.Guest, line kexecLine, kexecTools []string, program ...string) kexecOutcome {
	g.T.Helper()
	tool, call := strings.Join(kexecTools, " "), "-s"
	if g.VM.Config.Kernel.Arch != "amd64" {
		call = "-c" // Debian's kernels have no other
	}
	for _, image := range []struct{ name, option, loaded string }{{"crash", "-p", "/sys/kernel/kexec_crash_loaded"}, {"boot", "-l", "/sys/kernel/kexec_loaded"}} {
		switch is, want := g.ReadFile(image.loaded) == "1\n", line.before == image.name; {
		case is && !want:
			shell(g, tool+" "+call+" "+strings.TrimPrefix(image.option, "-l")+" -u")
		case want && !is:
			shell(g, tool+" "+call+" "+image.option+" "+guestKernel+" --append=before")
		}
	}
	words := slices.Clone(program)
	for _, w := range strings.Fields(line.argv) {
		switch {
		case w == "K":
			w = guestKernel
		case strings.HasSuffix(w, "=I"):
			w = strings.TrimSuffix(w, "I") + "/boot/initrd"
		}
		words = append(words, "'"+strings.ReplaceAll(w, "~", " ")+"'")
	}
	script := strings.Join(words, " ")
	argv := []string{"busybox", "sh", "-c", script}
	if line.user != "" {
		argv = []string{"busybox", "su", "-s", "/bin/sh", line.user, "-c", script}
	}
	r := g.Run(argv...)
	return kexecOutcome{r.Code, firstLine(r.Stdout), firstLine(r.Stderr), g.ReadFile("/sys/kernel/kexec_crash_loaded"), g.ReadFile("/sys/kernel/kexec_loaded")}
}

func firstLine(s string) string {
	if strings.Contains(s, "Usage: kexec") {
		return "usage"
	}
	for line := range strings.Lines(s) {
		// kexec-tools for riscv64 warns of what is no mistake, before it looks what to do.
		if !strings.HasPrefix(line, "kexec: warning: ") && !strings.HasPrefix(line, "Warning: No ") {
			return strings.TrimSpace(line)
		}
	}
	return ""
}

// smallInitrd is an initramfs for loads that nothing is started from.
func smallInitrd(t *testing.T) vmlab.File {
	t.Helper()
	b, err := vmlab.Initramfs(vmlab.File{Path: "/init", Data: []byte("an initrd")})
	if err != nil {
		t.Fatal(err)
	}
	return vmlab.File{Path: "/boot/initrd", Data: b}
}
