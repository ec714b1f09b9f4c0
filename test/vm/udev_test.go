package vm

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/gokexec/gokexec/internal/vmlab"
)

// udev is Debian's, in a guest whose PID 1 is not systemd.
type udev struct {
	daemon, admin []string
	files         []vmlab.File
}

// getUdev takes systemd-udevd and our rule, or another one.
func getUdev(t *testing.T, rule string) *udev {
	t.Helper()
	pkg := vmlab.GetTestPackage(t, "bookworm", "udev")
	daemon, err := pkg.GuestProgram("lib/systemd/systemd-udevd")
	if err != nil {
		t.Fatal(err)
	}
	admin, err := pkg.GuestProgram("bin/udevadm")
	if err != nil {
		t.Fatal(err)
	}
	return &udev{daemon.Argv, admin.Argv, append(daemon.Files, vmlab.File{Path: "/usr/lib/udev/rules.d/60-test.rules", Data: []byte(rule)})}
}

// shippedRule is what make install puts there.
func shippedRule(t *testing.T) string {
	t.Helper()
	b, err := os.ReadFile("../../dist/udev/60-gokexec.rules")
	if err != nil {
		t.Fatal(err)
	}
	return strings.ReplaceAll(string(b), "@SBINDIR@", "/bin")
}

// start runs it until the machine ends.
func (u *udev) start(g *vmlab.Guest) {
	g.T.Helper()
	argv := append(append([]string(nil), u.daemon...), "--resolve-names=never")
	if _, err := g.VM.Start(g.T.Context(), vmlab.Command{Argv: argv, Timeout: time.Hour}); err != nil {
		g.T.Fatal(err)
	}
	shell(g, "until [ -S /run/udev/control ]; do busybox usleep 20000; done")
}

// settle waits until the events so far have been handled, and their programs ended.
func (u *udev) settle(g *vmlab.Guest) {
	g.T.Helper()
	g.Must(append(append([]string(nil), u.admin...), "settle", "--timeout=60")...)
}

// An event that a waiting process covers starts none: udev follows the pending link, and starts one where
// the link leads nowhere.
func TestVMUdevPending(t *testing.T) {
	vmlab.MatrixOf(t, func(t *testing.T, k *vmlab.Kernel) {
		u := getUdev(t, shippedRule(t))
		cfg := crashMachine(t, k)
		cfg.CPUs = 2
		cfg.Files = append(cfg.Files, u.files...)
		g := vmlab.Boot(t, cfg)
		loadCrash(t, g)
		u.start(g)
		event := func(target string) bool {
			shell(g, "busybox ln -sfn "+target+" /run/gokexec/pending; for n in 0 1; do echo $n >/sys/devices/system/cpu/cpu1/online; done")
			u.settle(g)
			return strings.TrimSpace(shell(g, "[ ! -e /run/gokexec/pending.lock ] || echo started")) == "started"
		}
		if event("/proc/1/fd") {
			t.Error("an event has started a process, although one waits")
		}
		if !event("/proc/1/fd/none") {
			t.Error("an event has started no process, although none waits")
		}
	}, "backports-cloud") // udev is the same under all
}
