package makedumpfilecmd

import (
	"strings"
	"testing"
	"time"
)

func TestProgressLine(t *testing.T) {
	for _, tt := range []struct {
		done, total uint64
		elapsed     time.Duration
		n           int
		want        string
	}{
		{0, 10, 0, 0, "\rCopying data                                      : [  0.0 %] /                  "},
		{10, 10, 0, 1, "\rCopying data                                      : [100.0 %] |                  "},
		{10, 10, time.Second, 2, `` + "\rCopying data                                      : [100.0 %] \\           eta: 0s"},
		{123, 1000, 3 * time.Second, 3, "\rCopying data                                      : [ 12.3 %] -          eta: 21s"},
		{1, 4, time.Hour, 4, "\rCopying data                                      : [ 25.0 %] /         eta: 3h0m"},
		{0, 0, 0, 5, "\rCopying data                                      : [100.0 %] |                  "},
		{1, 1000, time.Hour, 6, "\rCopying data                                      : [  0.1 %] \\       eta: 41d15h"},
		{1, 1000, 24 * time.Hour, 7, "\rCopying data                                      : [  0.1 %] -      eta: >100day"},
	} {
		if got := ProgressLine(StepCopy, tt.done, tt.total, tt.elapsed, tt.n); got != tt.want {
			t.Errorf("ProgressLine(%d of %d, %v) =\n%q; want\n%q", tt.done, tt.total, tt.elapsed, got, tt.want)
		}
	}
}

func TestReport(t *testing.T) {
	p := Pages{Total: 0x3600, Memory: 0x2e9, Zero: 0x42, User: 0x40, Free: 0x80, Bytes: 2023284}
	for _, want := range []string{"\nOriginal pages  : 0x00000000000002e9\n  Excluded pages   : 0x0000000000000102\n    Pages filled with zero  : 0x0000000000000042\n",
		"  Remaining pages  : 0x00000000000001e7\n  (The number of pages is reduced to 65%.)\nMemory Hole     : 0x0000000000003317\n---", "\nTotal pages     : 0x0000000000003600\nWrite bytes     : 2023284\n\n"} {
		if got := p.Report(); !strings.Contains(got, want) {
			t.Errorf("Report() =\n%s\nwant in it\n%s", got, want)
		}
	}
	p.ELF, p.Holes = true, 0x100
	if got := p.Report(); !strings.Contains(got, "     in ELF format : 0x0000000000000100\n") || !strings.Contains(got, "     in ELF format : 0x00000000000001e9\n") {
		t.Errorf("Report() of an ELF core =\n%s", got)
	}
	usage := p.MemUsage(4096)
	for _, want := range []string{"ZERO\t\t66              \tyes\t\tPages filled with zero\n", "KERN_DATA\t487             \tno\t\tDumpable kernel data \n", "page size:\t\t4096            \n", "Total size on system:\t3051520          Byte\n"} {
		if !strings.Contains(usage, want) {
			t.Errorf("MemUsage() =\n%s\nwant in it %q", usage, want)
		}
	}
}

// The manual names every option that has no effect, once.
func TestUnsupportedAreOptions(t *testing.T) {
	seen := map[string]bool{}
	for _, u := range Unsupported() {
		found := false
		for _, o := range Options() {
			found = found || o.id == u.id && o.Spelling() == u.Option
		}
		if !found || seen[u.Option] || u.Why == "" {
			t.Errorf("%+v is no option, or twice in the table", u)
		}
		seen[u.Option] = true
	}
}
