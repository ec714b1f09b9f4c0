package capture

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gokexec/gokexec/pkg/dumpdir"
	"github.com/gokexec/gokexec/pkg/report"
)

// testReport is a report as its maker writes it.
func testReport(t *testing.T) []byte {
	t.Helper()
	r := &report.Report{Title: "NULL pointer dereference in boom", Kind: "null", Fingerprint: "0123456789abcdef"}
	var b bytes.Buffer
	if err := r.WriteParts(&b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

var testReporter = []string{"/bin/reporter", "report", "--parts"}

// The report is made once, when the log is on the first target, and saved before the memory on each.
func TestReportIsSaved(t *testing.T) {
	s, made := newFakeSystem(t), 0
	s.file(t, VMCorePath, string(testVMCore(t)))
	for _, dir := range []string{"/first", "/second"} {
		if err := os.MkdirAll(s.path(dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	s.faults[VMCoreName+incompleteSuffix] = &fault{capacity: 1}
	s.child = func(c Child) error {
		made++
		if !fileExists(s.path("/first/"+testDirName+"/"+LogName)) || fileExists(s.path("/first/"+testDirName+"/"+IncompleteName)) {
			t.Error("the report is not made after the log, and before the memory")
		}
		if c.Path != testReporter[0] || !slices.Equal(c.Args, append(testReporter[1:], VMCorePath)) || !c.Own || c.Limit != DefaultReportTimeout {
			t.Errorf("child = %+v", c)
		}
		_, err := c.Output.Write(testReport(t))
		return err
	}
	cfg := Config{Targets: []Target{{Type: TargetDirectory, Path: "/first"}, {Type: TargetDirectory, Path: "/second"}}, Format: FormatELF, DumpLevel: "0"}
	res, _ := Run(context.Background(), cfg, Options{System: s, Console: writerFunc(s.screen.Write), Reporter: testReporter})
	if made != 1 {
		t.Errorf("made %d times; want once", made)
	}
	want := SavedReport{Files: []string{ReportName, ReportJSONName}, Title: "NULL pointer dereference in boom", Kind: "null", Fingerprint: "0123456789abcdef"}
	for _, dir := range []string{"/first/", "/second/"} {
		b := mustRead(t, s.path(dir+testDirName+"/"+ResultName))
		stored := readResult(t, b)
		var sum dumpdir.Summary
		if err := json.Unmarshal(b, &sum); err != nil || sum.Report.Fingerprint != want.Fingerprint || sum.Outcome != string(stored.Outcome) || !sum.CaptureTime.Equal(stored.CaptureTime) {
			t.Errorf("summary of %s: %+v, %v", dir, sum, err)
		}
		got := *stored.Report
		got.Seconds = 0
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("%s: report = %+v; want %+v", dir, got, want)
		}
		if text := string(mustRead(t, s.path(dir+testDirName+"/"+ReportName))); !strings.HasPrefix(text, want.Title+"\n") {
			t.Errorf("%s%s = %q", dir, ReportName, text)
		}
		if _, err := report.ReadJSON(bytes.NewReader(mustRead(t, s.path(dir+testDirName+"/"+ReportJSONName)))); err != nil {
			t.Errorf("%s%s: %v", dir, ReportJSONName, err)
		}
	}
	if res.Report == nil || !strings.Contains(s.output(), "gokexec: report: NULL pointer dereference in boom, fingerprint 0123456789abcdef\n") {
		t.Errorf("the console shows %q", s.output())
	}
}

func fileExists(name string) bool {
	_, err := os.Stat(name)
	return err == nil
}

// However the making of the report fails, the dump is as good as without it, and the result has a line about it.
func TestReportFails(t *testing.T) {
	whole := testReport(t)
	for _, tt := range []struct {
		name   string
		output []byte
		err    error
		fault  fault
		space  func(string) (Space, error)
		says   string
		files  string
	}{
		{"exit code", []byte("gokexec: report: \x1bno\nhint: x"), errors.New("exit code 1"), fault{}, nil, "it could not be made: exit code 1: gokexec: report:  no", ""},
		{"killed", whole, errors.New("killed after 10s, its time limit"), fault{}, nil, "its time limit", ""},
		{"nothing", nil, nil, fault{}, nil, "the report broke off", ""},
		{"broke off", whole[:len(whole)-3], nil, fault{}, nil, "the report broke off", ReportName},
		{"large", bytes.Repeat([]byte("x"), report.MaxParts+1), nil, fault{}, nil, "larger than 1048576 bytes", ""},
		{"write error", whole, nil, fault{capacity: 10}, nil, "no space left", ReportJSONName},
		{"no room", whole, nil, fault{}, func(string) (Space, error) { return Space{1 << 30, 200 << 10}, nil }, "keep-free", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newFakeSystem(t)
			s.faults[ReportName+incompleteSuffix] = &tt.fault
			s.space = tt.space
			s.child = func(c Child) error {
				_, _ = c.Output.Write(tt.output)
				return tt.err
			}
			s.file(t, VMCorePath, string(testVMCore(t)))
			if err := os.MkdirAll(s.path("/crash"), 0o755); err != nil {
				t.Fatal(err)
			}
			cfg := dirConfig
			cfg.KeepFree = "100K"
			res, err := Run(context.Background(), cfg, Options{System: s, Reporter: testReporter})
			if tt.space == nil && (err != nil || res.Outcome != Complete || len(res.Errors) > 0) {
				t.Errorf("Run = %+v, %v; want complete", res, err)
			}
			stored := readResult(t, mustRead(t, s.path("/crash/"+testDirName+"/"+ResultName)))
			if stored.Report == nil || !strings.Contains(stored.Report.Error, tt.says) || strings.Join(stored.Report.Files, " ") != tt.files {
				t.Errorf("report = %+v; want %q, files %q", stored.Report, tt.says, tt.files)
			}
			if strings.Contains(stored.Report.Error, "\x1b") {
				t.Errorf("%q has what the child printed as it is", stored.Report.Error)
			}
			if info, err := os.Stat(s.path("/crash/" + testDirName + "/" + ReportName + incompleteSuffix)); err == nil && info.Size() > 0 {
				t.Errorf("%d bytes of the report take room that the result needs", info.Size())
			}
		})
	}
}

// A report that takes long is no stalled target, and none is made where that is configured, or there is no maker.
func TestReportTakesItsTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, tt := range []struct {
			seconds  *int
			reporter []string
			made     bool
		}{{nil, testReporter, true}, {ptr(25), testReporter, true}, {ptr(0), testReporter, false}, {nil, nil, false}} {
			s := newFakeSystem(t)
			s.child = func(c Child) error {
				time.Sleep(c.Limit - time.Second)
				_, err := c.Output.Write(testReport(t))
				return err
			}
			s.file(t, VMCorePath, string(testVMCore(t)))
			if err := os.MkdirAll(s.path("/crash"), 0o755); err != nil {
				t.Fatal(err)
			}
			cfg := dirConfig
			cfg.StallTimeoutSeconds, cfg.ReportTimeoutSeconds = 2, tt.seconds
			res, err := Run(context.Background(), cfg, Options{System: s, Reporter: tt.reporter})
			if err != nil || (res.Report != nil) != tt.made || tt.made && len(res.Report.Files) != 2 {
				t.Errorf("%v: %+v, %v; want a report: %v", tt.seconds, res, err, tt.made)
			}
		}
	})
}

func ptr(n int) *int { return &n }

// The kernel kills the maker rather than to panic.
func TestReportInInit(t *testing.T) {
	keepLimits(t)
	s := newInitSystem(t, strings.Replace(hookConfig, `"pre":["/bin/pre","/bin/pre2"],"post":["/bin/post"],"emergency":["/bin/emergency"],`, `"post":["/bin/post"],`, 1))
	s.file(t, "/proc/sys/vm/panic_on_oom", "1\n")
	var post []string
	s.child = func(c Child) error {
		if c.Path == testReporter[0] {
			_, err := c.Output.Write(testReport(t))
			return err
		}
		post = c.Env
		return nil
	}
	Init(InitOptions{System: s, Version: "v1", Reporter: testReporter})
	if got := string(mustRead(t, s.path("/proc/sys/vm/panic_on_oom"))); !strings.HasPrefix(got, "0") {
		t.Errorf("panic_on_oom = %q; want 0", got)
	}
	for _, want := range []string{"GOKEXEC_TITLE=NULL pointer dereference in boom", "GOKEXEC_FINGERPRINT=0123456789abcdef"} {
		if !slices.Contains(post, want) {
			t.Errorf("the hook has %q; want %s", post, want)
		}
	}
}
