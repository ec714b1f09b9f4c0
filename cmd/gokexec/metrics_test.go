package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/gokexec/gokexec/internal/kexectest"
	"github.com/gokexec/gokexec/pkg/capture"
)

// parseMetrics reads the text format of Prometheus more strictly than its own parser: each gauge has its HELP and
// TYPE right before its one sample.
func parseMetrics(t *testing.T, text string) map[string]float64 {
	t.Helper()
	if !strings.HasSuffix(text, "\n") {
		t.Errorf("the last line has no end: %q", text)
	}
	form := regexp.MustCompile(`^# HELP (gokexec_[a-z_]+) ([^\\\n]+)\n# TYPE (gokexec_[a-z_]+) gauge\n(gokexec_[a-z_]+)(\{[a-z_]+="[^"\\\n]*"(?:,[a-z_]+="(?:[^"\\\n]|\\.)*")*\})? (\S+)\n`)
	values := map[string]float64{}
	for rest := text; rest != ""; {
		m := form.FindStringSubmatch(rest)
		if m == nil {
			t.Fatalf("no metric: %.300q", rest)
		}
		rest = rest[len(m[0]):]
		v, err := strconv.ParseFloat(m[6], 64)
		if _, twice := values[m[1]]; err != nil || twice || m[1] != m[3] || m[1] != m[4] || (m[5] != "") != (m[1] == "gokexec_build_info" || m[1] == "gokexec_last_dump_info") || !strings.HasSuffix(m[2], ".") {
			t.Errorf("bad metric %q: %v, twice %v", m[0], err, twice)
		}
		values[m[1]] = v
	}
	return values
}

func TestMetrics(t *testing.T) {
	b, _ := newDrillBench(t)
	get := func(want int) map[string]float64 {
		t.Helper()
		b.want(exitOK, "", "", "metrics")
		values := parseMetrics(t, b.stdout.String())
		if len(values) != want {
			t.Errorf("metrics = %v; want %d", values, want)
		}
		return values
	}
	equal := func(values map[string]float64, want string) {
		t.Helper()
		for _, item := range strings.Fields(want) {
			name, text, _ := strings.Cut(item, "=")
			v, known := values["gokexec_"+name]
			if got := strconv.FormatFloat(v, 'f', -1, 64); text == "none" && known || text != "none" && (!known || got != text) {
				t.Errorf("gokexec_%s = %s, known %v; want %s", name, got, known, text)
			}
		}
	}
	equal(get(8), "build_info=1 armed=1 crash_kernel_loaded=1 crash_kernel_wanted=1 header_accurate=1 hotplug_problem=0 reserved_bytes=134217728 last_drill_success=none last_dump_bytes=none")

	// A dump and a drill.
	crash := time.Unix(1700000000, 0).UTC()
	result, err := json.Marshal(&capture.Result{Outcome: capture.Complete, CrashTime: &crash, VMCore: capture.SavedVMCore{SavedBytes: 12345678901}, KernelRelease: "6.12.0",
		Report: &capture.SavedReport{Kind: "bug", Title: "kernel BUG in \"x\\y\"\n", Fingerprint: "0123456789abcdef"}})
	if err != nil {
		t.Fatal(err)
	}
	b.kernel.Write("srv/dumps/20231114T221320Z/result.json", string(result))
	b.kernel.Write("srv/dumps/20221114T221320Z/result.json", "{}")
	seconds := 61.5
	if err := writeDurably(filepath.Join(b.kernel.Dir, "var/lib/gokexec"), lastDrillName, &lastDrill{Version: drillVersion, Passed: true, Requested: crash, Away: &drillTimes{Total: &seconds}}); err != nil {
		t.Fatal(err)
	}
	equal(get(15), "last_dump_timestamp_seconds=1700000000 last_dump_bytes=12345678901 last_dump_complete=1 last_drill_timestamp_seconds=1700000000 last_drill_success=1 last_drill_away_seconds=61.5")

	if want := `gokexec_last_dump_info{kernel_release="6.12.0",kind="bug",fingerprint="0123456789abcdef",title="kernel BUG in \"x\\y\"\n"} 1` + "\n"; !strings.Contains(b.stdout.String(), want) {
		t.Errorf("metrics lack %s:\n%s", want, &b.stdout)
	}

	// What is stale is not armed; what can't be read is not there.
	b.kernel.AddMemory(kexectest.DIMM())
	equal(get(15), "armed=0 header_accurate=0 crash_kernel_loaded=1")
	b.kernel.HideKcore()
	equal(get(13), "armed=none header_accurate=none crash_kernel_loaded=1")
	b.want(exitOK, "", "", "unload", "--crash")
	equal(get(9), "armed=0 header_accurate=none crash_kernel_loaded=0 crash_kernel_wanted=0 last_load_timestamp_seconds=none")
}

// The file is replaced, and everybody may read it.
func TestMetricsFile(t *testing.T) {
	b := newBench(t)
	out := b.file("gokexec.prom", []byte("old"))
	if err := os.Remove(out); err != nil {
		t.Fatal(err)
	}
	b.want(exitOK, "", "", "metrics", "-o", out)
	info, err := os.Stat(out)
	if err != nil || info.Mode().Perm() != 0o644 {
		t.Errorf("%v, %v; want mode 0644", info, err)
	}
	text, err := os.ReadFile(out)
	const want = `# HELP gokexec_armed Whether a crash kernel is loaded and its header matches the machine.
# TYPE gokexec_armed gauge
gokexec_armed 0
# HELP gokexec_crash_kernel_loaded Whether a crash kernel is loaded.
# TYPE gokexec_crash_kernel_loaded gauge
gokexec_crash_kernel_loaded 0
# HELP gokexec_crash_kernel_wanted Whether a crash kernel was loaded, and not unloaded on purpose since.
# TYPE gokexec_crash_kernel_wanted gauge
gokexec_crash_kernel_wanted 0
# HELP gokexec_hotplug_problem Whether the crash kernel could not be made accurate at the last attempt.
# TYPE gokexec_hotplug_problem gauge
gokexec_hotplug_problem 0
# HELP gokexec_reserved_bytes Memory that is reserved for the crash kernel.
# TYPE gokexec_reserved_bytes gauge
gokexec_reserved_bytes 134217728
`
	head := fmt.Sprintf("# HELP gokexec_build_info The version of gokexec; its value is always 1.\n# TYPE gokexec_build_info gauge\ngokexec_build_info{version=%q} 1\n", version())
	if err != nil || string(text) != head+want {
		t.Errorf("%v\n%s\nwant\n%s%s", err, text, head, want)
	}
	b.want(exitFailure, "", "no such file", "metrics", "-o", filepath.Join(b.dir, "none/gokexec.prom"))
}

// The configured file is written where its directory is there.
func TestMetricsWrite(t *testing.T) {
	b := newBench(t)
	b.want(exitUsage, "", "exclude each other", "metrics", "--write", "-o", "x")
	b.want(exitOK, "", "", "metrics", "--write")
	if b.stdout.Len() > 0 {
		t.Errorf("it printed %s", &b.stdout)
	}
	b.kernel.Write("var/lib/prometheus/node-exporter/x", "")
	b.want(exitOK, "", "", "metrics", "--write")
	b.kernel.Write("etc/gokexec.conf", "[Metrics]\nFile=/srv/own.prom\n")
	b.kernel.Write("srv/x", "")
	b.want(exitOK, "", "", "metrics", "--write")
	for _, name := range []string{"var/lib/prometheus/node-exporter/gokexec.prom", "srv/own.prom"} {
		text, err := os.ReadFile(filepath.Join(b.kernel.Dir, name))
		if err != nil || parseMetrics(t, string(text))["gokexec_build_info"] != 1 {
			t.Errorf("%s: %s, %v", name, text, err)
		}
	}
	b.kernel.Write("etc/gokexec.conf", "[Metrics]\nFile=own.prom\n")
	b.want(exitFailure, "", "/etc/gokexec.conf:2: [Metrics] File=own.prom", "metrics", "--write")
}

// Each metric, and each key of status --json, is in docs/formats.md.
func TestMonitoringIsDocumented(t *testing.T) {
	b, err := os.ReadFile("../../docs/formats.md")
	if err != nil {
		t.Fatal(err)
	}
	names := []string{"gokexec_build_info"}
	for _, m := range metrics() {
		names = append(names, m.name)
	}
	m := newBench(t)
	m.want(exitNotLoaded, "", "", "status", "--json")
	var keys map[string]any
	if err := json.Unmarshal(m.stdout.Bytes(), &keys); err != nil || len(keys) < 8 {
		t.Fatalf("status --json: %v, %v", keys, err)
	}
	for key := range keys {
		names = append(names, key)
	}
	for _, name := range append(names, "hotplug_problem", "last_load", "crash_memory_error") {
		if !strings.Contains(string(b), "`"+name+"`") {
			t.Errorf("docs/formats.md does not name %s", name)
		}
	}
}

func TestStatusPlugin(t *testing.T) {
	b, _ := newDrillBench(t)
	dir := filepath.Join(b.kernel.Dir, "var/lib/gokexec")
	drill := func(d *lastDrill) {
		t.Helper()
		d.Version, d.Requested = drillVersion, time.Unix(1700000000, 0)
		if err := writeDurably(dir, lastDrillName, d); err != nil {
			t.Fatal(err)
		}
	}
	b.want(exitUsage, "", "exclude each other", "status", "--nagios", "--json")
	b.want(pluginOK, "GOKEXEC OK - a crash kernel is loaded, and its elfcorehdr is accurate | reserved=134217728B\n", "", "status", "--nagios")
	drill(&lastDrill{Passed: true})
	b.want(pluginOK, "accurate; last drill passed, 2023-11-14", "", "status", "--nagios")
	drill(&lastDrill{Reason: "no dump | at all"})
	b.want(pluginWarning, "GOKEXEC WARNING - ", "", "status", "--nagios")
	if out := b.stdout.String(); strings.Count(out, "\n") != 1 || strings.Count(out, "|") != 1 {
		t.Errorf("it prints %q; want one line with one bar", out)
	}
	b.kernel.AddMemory(kexectest.DIMM())
	b.want(pluginCritical, "GOKEXEC CRITICAL - the crash kernel does not match the machine", "", "status", "--nagios")
	b.kernel.HideKcore()
	b.want(pluginUnknown, "GOKEXEC UNKNOWN - ", "", "status", "--nagios")
	b.want(exitOK, "", "", "unload", "--crash")
	b.want(pluginCritical, "no crash kernel is loaded", "", "status", "--nagios")
}
