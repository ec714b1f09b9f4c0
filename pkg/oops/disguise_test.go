package oops

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var (
	stampPattern   = regexp.MustCompile(`(?m)^\[ *[0-9]+\.[0-9]+\](\[ *[TC][0-9]+\])?`)
	addressPattern = regexp.MustCompile(`\b[0-9a-f]{16}\b`)
	cpuPattern     = regexp.MustCompile(`\b(CPU: |CPU#|CPU |on cpu |cpu )[0-9]+`)
	pidPattern     = regexp.MustCompile(`(PID: |pid: |:)[0-9]+([] :,]| blocked)`)
)

// disguise makes of a log that of another machine: other times, callers, addresses, CPU and process.
func disguise(text string, seed uint64, cpu, pid int) string {
	text = stampPattern.ReplaceAllStringFunc(text, func(s string) string {
		seed = seed*6364136223846793005 + 1442695040888963407
		stamp := fmt.Sprintf("[%5d.%06d]", seed>>50, seed>>13%1000000)
		if strings.Contains(s, "][") {
			who := s[strings.LastIndex(s, "["):]
			if strings.Contains(who, "T") {
				stamp += fmt.Sprintf("[%6s]", fmt.Sprintf("T%d", pid))
			} else {
				stamp += fmt.Sprintf("[%6s]", fmt.Sprintf("C%d", cpu))
			}
		}
		return stamp
	})
	text = addressPattern.ReplaceAllStringFunc(text, func(s string) string {
		seed = seed*6364136223846793005 + 1442695040888963407
		if strings.HasPrefix(s, "000") {
			return s // a small number, or NULL
		}
		return fmt.Sprintf("ffff%012x", seed>>16)
	})
	text = cpuPattern.ReplaceAllString(text, fmt.Sprintf("${1}%d", cpu))
	return pidPattern.ReplaceAllString(text, fmt.Sprintf("${1}%d${2}", pid))
}

// What differs from machine to machine does not change the fingerprint.
func TestDisguised(t *testing.T) {
	for _, pattern := range []string{"*.log", "written/*.log"} {
		files, err := filepath.Glob(filepath.Join("testdata", pattern))
		if err != nil || len(files) < 5 {
			t.Fatalf("%s: %d files, %v", pattern, len(files), err)
		}
		for i, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			want, err := Read(strings.NewReader(string(text)))
			if err != nil {
				t.Fatal(err)
			}
			other := disguise(string(text), uint64(i), 100+i, 1000*i+1)
			if other == string(text) {
				t.Errorf("%s: nothing to change", file)
			}
			got, err := Read(strings.NewReader(other))
			if err != nil || got.Fingerprint() != want.Fingerprint() || got.Title() != want.Title() {
				t.Errorf("%s: %v, %v; want %q, %s\n%s", file, got, err, want.Title(), want.Fingerprint(), other)
			}
		}
	}
}
