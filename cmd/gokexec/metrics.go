package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"github.com/gokexec/gokexec/pkg/accuracy"
	"github.com/gokexec/gokexec/pkg/capture"
	"github.com/gokexec/gokexec/pkg/dumpdir"
)

func metricsCommand() command {
	return command{
		name:  "metrics",
		short: "write the state of the crash kernel for Prometheus",
		long: `Prints gauges in the text format of Prometheus: whether the machine is armed, whether the
header of the crash kernel is accurate, the reserved memory, and when the last load, drill and
dump were. With -o they replace a file, for the textfile collector of node_exporter; with
--write the one that [Metrics] File= of gokexec.conf(5) names, by default in the directory that
Debian's prometheus-node-exporter reads. gokexec-metrics.timer does that from time to time.

What is not known has no value: it is not printed. The newest dump is looked for at the
targets of the crash kernel that is loaded, where they are mounted now.`,
		setup: func(flags *pflag.FlagSet) func(context.Context, *env, []string) error {
			output := flags.StringP("output", "o", "-", "`FILE` to replace, such as /var/lib/prometheus/node-exporter/gokexec.prom; - is the standard output")
			write := flags.Bool("write", false, "replace the file that is configured; do nothing where its directory is not there")
			return func(ctx context.Context, e *env, args []string) error {
				if err := noArgs(args); err != nil {
					return err
				}
				if *write {
					if flags.Changed("output") {
						return usageError("--write and --output exclude each other")
					}
					file, err := e.metricsFile()
					if err != nil || file == "" {
						return err
					}
					*output = file
				}
				text, err := e.metrics(ctx)
				if err != nil {
					return err
				}
				return e.writeText(*output, text)
			}
		},
	}
}

// defaultMetricsFile is in the directory of Debian's prometheus-node-exporter.
const defaultMetricsFile = "/var/lib/prometheus/node-exporter/gokexec.prom"

// metricsFile is the file that is configured; "" where its directory is not there.
func (e *env) metricsFile() (string, error) {
	c, err := readConfig(os.DirFS(e.sysroot))
	if err != nil {
		return "", err
	}
	file := filepath.Join(e.sysroot, c.metricsFile)
	if _, err := os.Stat(filepath.Dir(file)); errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	return file, nil
}

// readings are what the metrics are made of.
type readings struct {
	*statusReport
	dump *storedDump     // the newest; nil if there is none, or it is not known
	ship *dumpdir.Totals // nil if nothing was shipped
}

// metric is a row of the table: value is false if it is not known.
type metric struct {
	name, help string
	value      func(*readings) (float64, bool)
}

// metrics is the table. Names and meanings are kept: docs/formats.md lists them.
func metrics() []metric {
	drill := func(value func(*lastDrill) (float64, bool)) func(*readings) (float64, bool) {
		return func(r *readings) (float64, bool) {
			if r.LastDrill == nil {
				return 0, false
			}
			return value(r.LastDrill)
		}
	}
	dump := func(value func(*storedDump) (float64, bool)) func(*readings) (float64, bool) {
		return func(r *readings) (float64, bool) {
			if r.dump == nil {
				return 0, false
			}
			return value(r.dump)
		}
	}
	ship := func(value func(*dumpdir.Totals) (float64, bool)) func(*readings) (float64, bool) {
		return func(r *readings) (float64, bool) {
			if r.ship == nil {
				return 0, false
			}
			return value(r.ship)
		}
	}
	return []metric{
		{"gokexec_armed", "Whether a crash kernel is loaded and its header matches the machine.", func(r *readings) (float64, bool) { return oneIf(r.armed()) }},
		{"gokexec_crash_kernel_loaded", "Whether a crash kernel is loaded.", func(r *readings) (float64, bool) { return oneIf(r.CrashLoaded) }},
		{"gokexec_crash_kernel_wanted", "Whether a crash kernel was loaded, and not unloaded on purpose since.", func(r *readings) (float64, bool) { return oneIf(&r.Wanted) }},
		{"gokexec_header_accurate", "Whether the header of the crash kernel matches the memory and CPUs of the machine.", func(r *readings) (float64, bool) {
			if r.Verification.Accuracy == accuracy.NotLoaded {
				return 0, false
			}
			return oneIf(r.armed())
		}},
		{"gokexec_hotplug_problem", "Whether the crash kernel could not be made accurate at the last attempt.", func(r *readings) (float64, bool) {
			problem := r.Problem != ""
			return oneIf(&problem)
		}},
		{"gokexec_reserved_bytes", "Memory that is reserved for the crash kernel.", func(r *readings) (float64, bool) { return float64(r.CrashBytes), r.MemoryError == "" }},
		{"gokexec_last_load_timestamp_seconds", "When gokexec loaded the crash kernel that is loaded.", func(r *readings) (float64, bool) {
			if r.Noted == nil {
				return 0, false
			}
			return timestamp(r.Noted.Loaded)
		}},
		{"gokexec_last_drill_timestamp_seconds", "When the last drill was requested.", drill(func(d *lastDrill) (float64, bool) { return timestamp(d.Requested) })},
		{"gokexec_last_drill_success", "Whether the last drill passed.", drill(func(d *lastDrill) (float64, bool) { return oneIf(&d.Passed) })},
		{"gokexec_last_drill_away_seconds", "How long the machine was away in the last drill.", drill(func(d *lastDrill) (float64, bool) {
			if d.Away == nil || d.Away.Total == nil {
				return 0, false
			}
			return *d.Away.Total, true
		})},
		{"gokexec_last_dump_timestamp_seconds", "When the crash was that the newest dump is of.", dump(func(d *storedDump) (float64, bool) { return timestamp(d.crashed()) })},
		{"gokexec_last_dump_bytes", "Size of the newest dump.", dump(func(d *storedDump) (float64, bool) {
			if d.result == nil {
				return 0, false
			}
			return float64(d.result.VMCore.SavedBytes), true
		})},
		{"gokexec_last_dump_complete", "Whether the newest dump has all that its dump level keeps.", dump(func(d *storedDump) (float64, bool) {
			complete := d.result != nil && d.result.Outcome == capture.Complete
			return oneIf(&complete)
		})},
		{"gokexec_ship_pending", "Dumps that the last run of gokexec ship has not finished.", ship(func(t *dumpdir.Totals) (float64, bool) { return float64(t.Pending), true })},
		{"gokexec_ship_sent", "Dumps that gokexec ship has sent since its totals began.", ship(func(t *dumpdir.Totals) (float64, bool) { return float64(t.Sent), true })},
		{"gokexec_ship_failures", "Attempts of gokexec ship to send a dump that have failed since.", ship(func(t *dumpdir.Totals) (float64, bool) { return float64(t.Failures), true })},
		{"gokexec_ship_bytes", "Bytes that gokexec ship has sent since.", ship(func(t *dumpdir.Totals) (float64, bool) { return float64(t.Bytes), true })},
		{"gokexec_ship_last_success_timestamp_seconds", "When gokexec ship had nothing left to send.", ship(func(t *dumpdir.Totals) (float64, bool) { return timestamp(t.LastSuccess) })},
	}
}

// oneIf is 1 for true, 0 for false.
func oneIf(b *bool) (float64, bool) {
	switch {
	case b == nil:
		return 0, false
	case *b:
		return 1, true
	}
	return 0, true
}

func timestamp(t time.Time) (float64, bool) { return float64(t.Unix()), !t.IsZero() }

// metrics reads the machine, and prints what is known.
func (e *env) metrics(ctx context.Context) (string, error) {
	status, err := e.readStatus("")
	if err != nil {
		return "", err
	}
	r := &readings{statusReport: status}
	r.ship = e.shipTotals(ctx, e.loadedConfig().Targets)
	// A target that is not there now is no error.
	if dumps, _ := e.storedDumps(ctx, e.loadedConfig().Targets, false); len(dumps) > 0 {
		r.dump = &dumps[0]
	}
	var b bytes.Buffer
	writeMetrics(&b, r)
	return b.String(), nil
}

// writeMetrics prints the text format of Prometheus (version 0.0.4).
func writeMetrics(w io.Writer, r *readings) {
	head := func(name, help string) { fmt.Fprintf(w, "# HELP %s %s\n# TYPE %s gauge\n", name, help, name) }
	head("gokexec_build_info", "The version of gokexec; its value is always 1.")
	label := strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`)
	fmt.Fprintf(w, "gokexec_build_info{version=\"%s\"} 1\n", label.Replace(version()))
	if d := r.dump; d != nil && d.result != nil {
		head("gokexec_last_dump_info", "What the newest dump is of; its value is always 1.")
		named := d.result.Report
		if named == nil {
			named = &capture.SavedReport{}
		}
		fmt.Fprintf(w, "gokexec_last_dump_info{kernel_release=\"%s\",kind=\"%s\",fingerprint=\"%s\",title=\"%s\"} 1\n",
			label.Replace(d.result.KernelRelease), label.Replace(named.Kind), label.Replace(named.Fingerprint), label.Replace(named.Title))
	}
	for _, m := range metrics() {
		if v, known := m.value(r); known {
			head(m.name, m.help)
			fmt.Fprintf(w, "%s %s\n", m.name, strconv.FormatFloat(v, 'f', -1, 64))
		}
	}
}
