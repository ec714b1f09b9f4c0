package capture

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"time"

	"github.com/gokexec/gokexec/internal/printed"
	"github.com/gokexec/gokexec/pkg/dumpdir"
	"github.com/gokexec/gokexec/pkg/report"
)

// DefaultReportTimeout is the default of [Config.ReportTimeoutSeconds].
const DefaultReportTimeout = 10 * time.Second

const (
	// maxReportSeconds bounds Config.ReportTimeoutSeconds: the memory waits for it.
	maxReportSeconds = 600
	// reportTick is how often a target hears that the report is being made.
	reportTick = 200 * time.Millisecond
)

// ReportName and ReportJSONName are the entries of a saved dump that have its report.
const (
	ReportName     = dumpdir.Report
	ReportJSONName = dumpdir.ReportJSON
)

// SavedReport is the report of the crash, and what it says in short.
type SavedReport struct {
	// Files are the names of what is saved.
	Files       []string `json:"files,omitempty"`
	Title       string   `json:"title,omitempty"`
	Kind        string   `json:"kind,omitempty"`
	Fingerprint string   `json:"fingerprint,omitempty"`
	// Seconds is how long it took to make.
	Seconds float64 `json:"seconds"`
	// Error says why it is not there, or not whole. The dump is none the worse for it.
	Error string `json:"error,omitempty"`
}

// madeReport is a report as its maker, a child of this process, has written it.
type madeReport struct {
	report.Parts
	seconds float64
	err     error
}

// reportTimeout is how long making a report may take; 0: none is made.
func (c Config) reportTimeout() time.Duration {
	if c.ReportTimeoutSeconds == nil {
		return DefaultReportTimeout
	}
	return time.Duration(*c.ReportTimeoutSeconds) * time.Second
}

// saveReport saves the report of the crash. Its failure is noted, and costs nothing else.
func (r *run) saveReport(ctx context.Context, s sink, res *Result, touch func()) {
	if len(r.opt.Reporter) == 0 || r.cfg.reportTimeout() == 0 {
		return
	}
	r.makeReport.Do(func() { r.made = r.reportByChild(ctx, touch) })
	m := &r.made
	res.Report = &SavedReport{Title: named(m.Title), Kind: named(m.Kind), Fingerprint: named(m.Fingerprint), Seconds: m.seconds}
	err := m.err
	for _, f := range []struct {
		name string
		data []byte
	}{{ReportName, m.Text}, {ReportJSONName, m.JSON}} {
		if f.data == nil {
			continue
		}
		putErr := putSmall(s, f.name, f.data)
		if putErr == nil {
			res.Report.Files = append(res.Report.Files, f.name)
		}
		err = errors.Join(err, putErr)
		touch()
	}
	if err != nil {
		res.Report.Error = shortError(err)
		r.say("report: %v; going on with the memory", res.Report.Error)
	}
	if h := res.Report; h.Title != "" || h.Fingerprint != "" {
		r.say("report: %s, fingerprint %s", orUnknown(h.Title), orUnknown(h.Fingerprint))
	}
}

// named is a name that the child gave, as a console, a result and an environment can take it.
func named(s string) string { return printable([]byte(s[:min(len(s), maxErrorBytes)])) }

// putSmall saves what is worth less than the result that follows: only where there is room for both.
func putSmall(s sink, name string, data []byte) error {
	if d, ok := s.(*directorySink); ok {
		need := int64(len(data)) + resultRoom
		if room, space, err := d.roomFor(need); err == nil && room < need {
			return d.full(space)
		}
	}
	return putBytes(s, name, data)
}

// reportByChild makes the report in a process of its own, whose memory and time are bounded: what it reads is whatever
// the crashed kernel has left.
func (r *run) reportByChild(ctx context.Context, touch func()) (m madeReport) {
	begin := time.Now()
	defer func() { m.seconds = seconds(begin) }()
	source, err := filepath.Abs(r.opt.Source)
	if err != nil {
		m.err = err
		return m
	}
	out := &printed.Buffer{Limit: report.MaxParts}
	child := Child{
		Path: r.opt.Reporter[0], Args: append(slices.Clone(r.opt.Reporter[1:]), source), Limit: r.cfg.reportTimeout(), Output: out, Own: true,
		// Each CPU costs the Go runtime memory.
		Env: []string{"GOMAXPROCS=1"},
	}
	done := make(chan struct{})
	defer close(done)
	go func() {
		tick := time.NewTicker(reportTick)
		defer tick.Stop()
		for {
			select {
			case <-done:
				return
			case <-tick.C:
				touch()
				r.gauge.sample()
			}
		}
	}()
	_, err = within(ctx, child.Limit+hookPatience, "make it", func() (struct{}, error) { return struct{}{}, r.sys.RunChild(child) })
	data, whole := out.Contents()
	switch {
	case err != nil:
		m.err = fmt.Errorf("it could not be made: %w", saying(err, data))
	case !whole:
		m.err = fmt.Errorf("it is larger than %d bytes", report.MaxParts)
	default:
		if m.Parts, err = report.ReadParts(data); err != nil {
			m.err = fmt.Errorf("it could not be read: %w", saying(err, data))
		}
	}
	return m
}

// saying is an error with the first line that the child printed.
func saying(err error, printed []byte) error {
	line, _, _ := bytes.Cut(bytes.TrimSpace(printed), []byte("\n"))
	if len(line) == 0 {
		return err
	}
	return fmt.Errorf("%w: %s", err, printable(line[:min(len(line), maxErrorBytes/2)]))
}
