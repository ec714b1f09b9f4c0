package debian

import (
	"strconv"
	"strings"

	"github.com/gokexec/gokexec/internal/vmlab"
)

// useUnits arms by gokexec's own units, in their sandbox: a restart takes up what has
// changed, and only that; a reload always arms.
func useUnits(g *vmlab.Guest) {
	g.T.Helper()
	options := func(word string) {
		g.WriteFile("/etc/gokexec.conf", "[Kernel]\nAppend=console=ttyS0 "+word+"\n")
	}
	loaded := func() (text, when string) {
		return g.ReadFile("/run/gokexec/crash.json"), strings.TrimSpace(g.Must("stat", "-c", "%y", "/run/gokexec/crash.json"))
	}
	options("gokexec.test=1")
	g.Must("systemctl", "start", "gokexec-crash.service")
	text, first := loaded()
	if !strings.Contains(text, "gokexec.test=1") || crashLoaded(g) != "1" {
		g.T.Errorf("gokexec-crash.service loaded %s", text)
	}
	g.Must("systemctl", "restart", "gokexec-crash.service")
	if _, again := loaded(); again != first {
		g.T.Error("a restart loaded what is loaded already")
	}
	options("gokexec.test=2")
	g.Must("systemctl", "restart", "gokexec-crash.service")
	if text, _ := loaded(); !strings.Contains(text, "gokexec.test=2") {
		g.T.Errorf("a restart after a change leaves %s", text)
	}
	options("gokexec.test=3")
	g.Must("systemctl", "reload", "gokexec-crash.service")
	if text, _ := loaded(); !strings.Contains(text, "gokexec.test=3") {
		g.T.Errorf("a reload after a change leaves %s", text)
	}
	// What is loaded is lost, and the note stays.
	g.Must("kexec", "-p", "-u")
	g.Must("systemctl", "restart", "gokexec-crash.service")
	if crashLoaded(g) != "1" {
		g.T.Error("a restart with nothing loaded leaves nothing loaded")
	}
	options("gokexec.test=4")
	g.Must("systemctl", "start", "gokexec-crash-early.service")
	if text, _ := loaded(); !strings.Contains(text, "gokexec.test=4") {
		g.T.Errorf("gokexec-crash-early.service leaves %s", text)
	}
	if got := accuracy(g); got != "accurate" {
		g.T.Errorf("after the units' loads the header is %s; want accurate", got)
	}
	exposure(g, "gokexec-crash.service", "gokexec-crash-early.service", "gokexec-drill.service", "gokexec-metrics.service")
	for _, unit := range []string{"gokexec-crash.service", "gokexec-crash-early.service"} {
		if warnings := g.Must("journalctl", "-b", "-q", "--no-pager", "-p", "warning", "-u", unit); warnings != "" {
			g.T.Errorf("%s warns: %s", unit, warnings)
		}
		g.Must("systemctl", "stop", unit)
	}
	noFailures(g)
}

// exposure holds units against systemd's own judgement: 10 is a service without any
// sandbox, and gokexec's had 9.6.
func exposure(g *vmlab.Guest, units ...string) {
	g.T.Helper()
	for _, unit := range units {
		lines := strings.Split(strings.TrimSpace(g.Run("systemd-analyze", "security", "--no-pager", unit).Stdout), "\n")
		_, figure, _ := strings.Cut(lines[len(lines)-1], ": ")
		fields := strings.Fields(figure)
		if len(fields) == 0 {
			g.T.Errorf("systemd-analyze security %s: %q", unit, lines)
			continue
		}
		level, err := strconv.ParseFloat(fields[0], 64)
		if err != nil || level > 5 {
			g.T.Errorf("the exposure of %s is %s, %v; want 5 at most\n%s", unit, figure, err, strings.Join(lines, "\n"))
		}
		g.T.Logf("%s", lines[len(lines)-1])
	}
}
