package config

import (
	"errors"
	"io/fs"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
)

func tree(files map[string]string) fstest.MapFS {
	m := fstest.MapFS{}
	for name, text := range files {
		f := &fstest.MapFile{Data: []byte(text), Mode: 0o644}
		if to, link := strings.CutPrefix(text, "-> "); link {
			f = &fstest.MapFile{Data: []byte(to), Mode: fs.ModeSymlink | 0o777}
		}
		m[name] = f
	}
	return m
}

func target(value string) string { return "[Capture]\nTarget=" + value + "\n" }

func TestLayers(t *testing.T) {
	for _, tt := range []struct {
		name  string
		files map[string]string
		want  string // the values in order
		paths []string
	}{
		{name: "none"},
		{name: "etc over run over local over lib", files: map[string]string{
			"etc/gokexec.conf": target("etc"), "run/gokexec.conf": target("run"), "usr/local/lib/gokexec.conf": target("local"), "usr/lib/gokexec.conf": target("lib")},
			want: "etc", paths: []string{"/etc/gokexec.conf"}},
		{name: "run", files: map[string]string{"run/gokexec.conf": target("run"), "usr/local/lib/gokexec.conf": target("local"), "usr/lib/gokexec.conf": target("lib")}, want: "run"},
		{name: "local", files: map[string]string{"usr/local/lib/gokexec.conf": target("local"), "usr/lib/gokexec.conf": target("lib")}, want: "local"},
		{name: "lib", files: map[string]string{"usr/lib/gokexec.conf": target("lib")}, want: "lib"},
		{name: "drop-ins come after the main file, whatever their directory, by name", files: map[string]string{
			"etc/gokexec.conf": target("main"), "usr/lib/gokexec.conf.d/50-b.conf": target("b"), "etc/gokexec.conf.d/10-a.conf": target("a"), "run/gokexec.conf.d/90-c.conf": target("c")},
			want: "main a b c", paths: []string{"/etc/gokexec.conf", "/etc/gokexec.conf.d/10-a.conf", "/usr/lib/gokexec.conf.d/50-b.conf", "/run/gokexec.conf.d/90-c.conf"}},
		{name: "the same name replaces", files: map[string]string{
			"usr/lib/gokexec.conf.d/50.conf": target("lib"), "usr/local/lib/gokexec.conf.d/50.conf": target("local"), "run/gokexec.conf.d/50.conf": target("run"), "etc/gokexec.conf.d/50.conf": target("etc")},
			want: "etc"},
		{name: "a link to /dev/null masks a drop-in", files: map[string]string{
			"usr/lib/gokexec.conf.d/50.conf": target("lib"), "etc/gokexec.conf.d/50.conf": "-> /dev/null", "etc/gokexec.conf": target("main")}, want: "main", paths: []string{"/etc/gokexec.conf"}},
		{name: "an empty file masks a drop-in", files: map[string]string{"usr/lib/gokexec.conf.d/50.conf": target("lib"), "run/gokexec.conf.d/50.conf": ""}},
		{name: "a link to /dev/null masks the main file", files: map[string]string{"usr/lib/gokexec.conf": target("lib"), "etc/gokexec.conf": "-> /dev/null"}},
		{name: "an empty main file masks", files: map[string]string{"usr/lib/gokexec.conf": target("lib"), "etc/gokexec.conf": ""}},
		{name: "other names are not read", files: map[string]string{
			"etc/gokexec.conf.d/50.conf.dpkg-old": target("x"), "etc/gokexec.conf.d/.50.conf": target("x"), "etc/gokexec.conf.d/README": "?", "etc/gokexec.conf.bak": target("x")}},
		{name: "links are followed", files: map[string]string{"etc/gokexec.conf": "-> other.conf", "etc/other.conf": target("other")}, want: "other", paths: []string{"/etc/gokexec.conf"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f, err := Read(tree(tt.files))
			if err != nil {
				t.Fatal(err)
			}
			var values []string
			for _, s := range f.Settings() {
				values = append(values, s.Value)
			}
			if got := strings.Join(values, " "); got != tt.want {
				t.Errorf("values %q, want %q", got, tt.want)
			}
			if tt.paths != nil && !slices.Equal(f.Paths(), tt.paths) {
				t.Errorf("paths %q, want %q", f.Paths(), tt.paths)
			}
		})
	}
}

func TestSyntax(t *testing.T) {
	const text = `# a comment = with text
; another

[Kernel]
  Append =  console=ttyS0   quiet  
Cmdline=a \
# a comment in between \
  b \
  c
[Capture]
Target=fs:UUID=1:/var/crash # no comment
Target=
Empty = 
`
	f, err := Read(tree(map[string]string{"etc/gokexec.conf": text}))
	if err != nil {
		t.Fatal(err)
	}
	want := []Setting{
		{"Kernel", "Append", "console=ttyS0   quiet", "/etc/gokexec.conf:5"},
		{"Kernel", "Cmdline", "a b c", "/etc/gokexec.conf:6"},
		{"Capture", "Target", "fs:UUID=1:/var/crash # no comment", "/etc/gokexec.conf:11"},
		{"Capture", "Target", "", "/etc/gokexec.conf:12"},
		{"Capture", "Empty", "", "/etc/gokexec.conf:13"},
	}
	if got := f.Settings(); !slices.Equal(got, want) {
		t.Errorf("settings\n%q\nwant\n%q", got, want)
	}
}

func TestWrongFiles(t *testing.T) {
	for _, tt := range []struct {
		name, text, want string
		line             int
	}{
		{"before a section", "\nTarget=x\n", "before the first [Section]", 2},
		{"no assignment", "[Capture]\n\nTarget\n", "neither Key=VALUE", 3},
		{"no key", "[Capture]\n=x\n", "no name of a key", 2},
		{"a blank in the key", "[Capture]\nDump Level=1\n", "no name of a key", 2},
		{"section not closed", "[Capture\nTarget=x\n", "section", 1},
		{"text after the section", "[Capture] x\n", "garbage", 1},
		{"section without name", "[]\n", "no name of a section", 1},
		{"end in a backslash", "[Capture]\nTarget=x \\\n", "ends after a backslash", 2},
		{"end in two backslashes", "[Capture]\nTarget=x\\\\\n\nA=b\n", "ends in a backslash", 2},
		{"a NUL", "[Capture]\nTarget=x\x00\n", "control character", 2},
		{"not UTF-8", "[Capture]\nTarget=\xff\n", "UTF-8", 2},
		{"too long", "[Kernel]\nAppend=" + strings.Repeat("x", 5000) + "\n", "line too long", 2},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := Read(tree(map[string]string{"etc/gokexec.conf.d/a.conf": tt.text}))
			var syntax *SyntaxError
			if !errors.As(err, &syntax) {
				t.Fatalf("error %v, want a SyntaxError", err)
			}
			if syntax.Path != "/etc/gokexec.conf.d/a.conf" || syntax.Line != tt.line || !strings.Contains(syntax.Why, tt.want) {
				t.Errorf("error %v, want line %d and %q", err, tt.line, tt.want)
			}
		})
	}
	for name, files := range map[string]map[string]string{
		"dangling link": {"etc/gokexec.conf": "-> nowhere"},
		"directory":     {"etc/gokexec.conf/x": "y"},
		"too large":     {"etc/gokexec.conf": strings.Repeat("#\n", maxFile)},
	} {
		if f, err := Read(tree(files)); err == nil || !strings.Contains(err.Error(), "/etc/gokexec.conf") {
			t.Errorf("%s: %v, error %v", name, f, err)
		}
	}
}

func TestFormatRefuses(t *testing.T) {
	for _, s := range []Setting{
		{Section: "A", Key: "K", Value: "two\nlines"}, {Section: "A", Key: "K", Value: " x"}, {Section: "A", Key: "K", Value: `x\`},
		{Section: "A", Key: "K", Value: strings.Repeat("x", 3000)}, {Section: "A]", Key: "K"}, {Section: "A", Key: "K="}, {Section: "A", Key: "#K"}, {},
	} {
		if b, err := Format([]Setting{s}, ""); err == nil {
			t.Errorf("%q was written: %q", s, b)
		}
	}
}

// What Format writes, Read reads back equal.
func FuzzFormat(f *testing.F) {
	f.Add("Capture", "Target", "fs:UUID=1:/var/crash", "Kernel", "Append", "a=b # c", "made by\nsetup")
	f.Add("A", "K", "", "A", "K", "[x]", "")
	f.Add("A", "K", ";x", "B-1", "_.", `a\b`, "\n")
	f.Fuzz(func(t *testing.T, section1, key1, value1, section2, key2, value2, comment string) {
		settings := []Setting{{Section: section1, Key: key1, Value: value1}, {Section: section2, Key: key2, Value: value2}}
		text, err := Format(settings, comment)
		if err != nil {
			return
		}
		read, err := Read(tree(map[string]string{"etc/gokexec.conf": string(text)}))
		if err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		got := read.Settings()
		for i := range got {
			got[i].Origin = ""
		}
		if !slices.Equal(got, settings) {
			t.Fatalf("%q reads as %q, want %q", text, got, settings)
		}
	})
}

// Whatever can be read can be written and read again, and lines are those of the file.
func FuzzRead(f *testing.F) {
	f.Add("[Kernel]\nAppend=a \\\n b\n#x\\\n[Capture]\nTarget=\n")
	f.Add("[A]\nK=\\\n\nx=1\\")
	f.Add("[A]\nK=a\\\\\n\nL=b\n")
	f.Add("\ufeff[A]\r\nK=1\r\n")
	f.Fuzz(func(t *testing.T, text string) {
		settings, err := parse("/f", []byte(text))
		var syntax *SyntaxError
		if err != nil {
			if !errors.As(err, &syntax) || syntax.Line < 1 || syntax.Line > strings.Count(text, "\n")+1 {
				t.Fatalf("%q: error %v", text, err)
			}
			return
		}
		if _, err := Format(settings, ""); err != nil {
			t.Fatalf("%q: %q can't be written: %v", text, settings, err)
		}
	})
}
