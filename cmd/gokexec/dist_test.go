package main

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// What is shipped calls gokexec by commands and options that it has.
func TestDistCallsAreKnown(t *testing.T) {
	var files []string
	err := filepath.WalkDir("../../dist", func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			files = append(files, path)
		}
		return err
	})
	if err != nil || len(files) < 8 {
		t.Fatalf("dist holds %v, %v; want rules, units and scripts", files, err)
	}
	known := map[string]command{}
	for _, c := range commands() {
		known[c.name] = c
	}
	call := regexp.MustCompile(`@SBINDIR@/gokexec ([a-z]+)([^"\n]*)`)
	option := regexp.MustCompile(`--([a-z-]+)`)
	for _, path := range files {
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		text := string(b)
		// In an initramfs it has a place of its own, and a package has all in /usr.
		if strings.Contains(text, "/usr/sbin/gokexec") && !strings.Contains(path, "/dracut/") && !strings.Contains(path, "/dist/package/") {
			t.Errorf("%s names a directory that make install may choose", path)
		}
		for _, m := range call.FindAllStringSubmatch(text, -1) {
			c, found := known[m[1]]
			if !found {
				t.Errorf("%s calls gokexec %s, which is no command", path, m[1])
				continue
			}
			for _, o := range option.FindAllStringSubmatch(m[2], -1) {
				if c.flagSet().Lookup(o[1]) == nil {
					t.Errorf("%s calls gokexec %s --%s, which is no option", path, m[1], o[1])
				}
			}
			// Units have no shell: what stands there is what the command gets.
			if strings.Contains(path, "/systemd/") {
				if err := c.flagSet().Parse(strings.Fields(m[2])); err != nil {
					t.Errorf("%s calls gokexec %s%s: %v", path, m[1], m[2], err)
				}
			}
		}
	}
}
