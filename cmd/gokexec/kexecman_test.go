package main

import (
	"strings"
	"testing"

	"github.com/gokexec/gokexec/internal/kexeccmd"
)

// The page has every option of every architecture, and both tables.
func TestKexecMan(t *testing.T) {
	page := kexecMan()
	want := func(s string) {
		if !strings.Contains(page, roff(s)) {
			t.Errorf("kexec(8) lacks %q", s)
		}
	}
	for _, arch := range kexeccmd.Arches() {
		options, err := kexeccmd.Options(arch)
		if err != nil {
			t.Fatal(err)
		}
		for _, o := range options {
			want("--" + o.Name)
		}
	}
	for _, u := range kexeccmd.Unsupported() {
		want(u.Why)
	}
	for _, d := range kexeccmd.Differences() {
		want(d.When)
		want(d.Here)
	}
	for line := range strings.Lines(page) {
		if strings.HasPrefix(line, "'") || strings.HasPrefix(line, ". ") {
			t.Errorf("kexec(8): troff would take %q for a request", line)
		}
	}
	b := newBench(t)
	b.want(exitOK, "Usage: kexec [OPTION]... [kernel]", "", "help", "kexec")
	b.want(exitOK, "behave as kexec(8)", "", "help")
	b.want(exitOK, "kexec-tools 2.0.32 (gokexec", "", "kexec", "--version")
}
