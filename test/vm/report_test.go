package vm

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/gokexec/gokexec/pkg/capture"
	"github.com/gokexec/gokexec/pkg/kdumpfile"
	"github.com/gokexec/gokexec/pkg/oops"
	"github.com/gokexec/gokexec/pkg/report"
)

// savedReport is what a capture has saved of its report, and what it is compared with.
type savedReport struct {
	text, json, log []byte
	dump            kdumpfile.Dump
	result          *capture.Result
	release         string
}

// reportOfDir reads the report in the directory of a dump.
func reportOfDir(t *testing.T, dir string, dump kdumpfile.Dump, release string) *savedReport {
	t.Helper()
	read := func(name string) []byte {
		b, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Error(err)
		}
		return b
	}
	s := &savedReport{read(capture.ReportName), read(capture.ReportJSONName), read(capture.LogName), dump, new(capture.Result), release}
	if err := json.Unmarshal(read(capture.ResultName), s.result); err != nil {
		t.Error(err)
	}
	return s
}

// check looks at the report of a crash by SysRq: it tells of this kernel and this crash, names it as the log does, and is
// the one that a host makes of the dump, although that has been filtered since.
func (s *savedReport) check(t *testing.T) {
	t.Helper()
	if r := s.result.Report; r == nil || r.Error != "" || !slices.Equal(r.Files, []string{capture.ReportName, capture.ReportJSONName}) {
		t.Fatalf("result.json says of the report: %+v; want its files and no error", r)
	}
	r, err := report.ReadJSON(bytes.NewReader(s.json))
	if err != nil {
		t.Fatalf("%s: %v", capture.ReportJSONName, err)
	}
	if r.Kernel.Release != s.release || r.Kind != string(oops.SysRq) || r.Title != s.result.Report.Title || r.Fingerprint != s.result.Report.Fingerprint {
		t.Errorf("the report is of kernel %s, %s, %q, %s; want %s, and as result.json says: %+v", r.Kernel.Release, r.Kind, r.Title, r.Fingerprint, s.release, s.result.Report)
	}
	if !bytes.HasPrefix(s.text, []byte(r.Title+"\n")) {
		t.Errorf("%s begins with %.100q; want %s", capture.ReportName, s.text, r.Title)
	}
	crash, err := oops.Read(bytes.NewReader(s.log))
	if err != nil || crash.Fingerprint() != r.Fingerprint || crash.Title() != r.Title {
		t.Errorf("by the log it is %+v, %v; want %q, %s", crash, err, r.Title, r.Fingerprint)
	}
	if r.Crashed == nil || r.Crashed.Stack == nil || !slices.ContainsFunc(r.Crashed.Stack.Frames, func(f report.Frame) bool { return f.Symbol == "sysrq_handle_crash" }) {
		t.Errorf("the CPU that crashed: %+v; want sysrq_handle_crash in its stack\n%s", r.Crashed, s.text)
	}
	again := report.Make(context.Background(), s.dump)
	var saved, made bytes.Buffer
	if err := r.WriteText(&saved); err != nil {
		t.Fatal(err)
	}
	if err := again.WriteText(&made); err != nil {
		t.Fatal(err)
	}
	if saved.String() != made.String() {
		t.Errorf("the report that was saved:\n%s\nof the dump:\n%s", &saved, &made)
	}
	if len(r.Missing) > 0 || strings.Contains(saved.String(), "(not known)") {
		t.Errorf("missing: %+v", r.Missing)
	}
	t.Logf("report: %s, fingerprint %s, in %.1f s, %d and %d bytes", r.Title, r.Fingerprint, s.result.Report.Seconds, len(s.text), len(s.json))
}
