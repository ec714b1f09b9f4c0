package kconfig

import (
	"bytes"
	"compress/gzip"
	"errors"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
)

const release = "6.12.0-test"

func TestOfRelease(t *testing.T) {
	for _, tt := range []struct{ file, text, want string }{
		{"boot/config-" + release, "CONFIG_A=y\n", "A=y"},
		{"boot/config-" + release, "# Linux\nCONFIG_A=y\r\nCONFIG_B=m\n# CONFIG_C is not set\nCONFIG_N=0x10\nCONFIG_S=\"a b\"\n", "A=y B=m C=n N=0x10 S=a b"},
		{"lib/modules/" + release + "/config", "CONFIG_A=y\n", "A=y"},
		{"usr/lib/modules/" + release + "/config", "CONFIG_A=y\n", "A=y"},
		{"usr/lib/kernel/config-" + release, "CONFIG_A=y\n", "A=y"},
		{"usr/lib/ostree-boot/config-" + release, "CONFIG_A=y\n", "A=y"},
		{"boot/config-6.1", "CONFIG_A=y\n", ""},
		{"boot/config-" + release, "hello\n", `error: /boot/config-6.12.0-test: line 1: "hello" is not CONFIG_X=value`},
		{"boot/config-" + release, "", "error: /boot/config-6.12.0-test: sets no option"},
		{"boot/config-" + release, "# CONFIG_C is not set\n", "error: /boot/config-6.12.0-test: sets no option"},
		{"boot/config-" + release, strings.Repeat("#", maxConfig+1), "error: /boot/config-6.12.0-test: larger than"},
	} {
		c, err := OfRelease(fstest.MapFS{tt.file: {Data: []byte(tt.text)}}, release)
		var got []string
		for _, name := range slices.Sorted(maps.Keys(c)) {
			got = append(got, name+"="+c[name])
		}
		text := strings.Join(got, " ")
		if err != nil {
			text = "error: " + err.Error()
		}
		if text != tt.want && (!strings.HasPrefix(tt.want, "error: ") || !strings.HasPrefix(text, tt.want)) {
			t.Errorf("OfRelease(%s %.40q) = %s; want %s", tt.file, tt.text, text, tt.want)
		}
	}
}

func TestRunning(t *testing.T) {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	if _, err := z.Write([]byte("CONFIG_KEXEC=y\nCONFIG_NLS=m\n# CONFIG_SME is not set\n")); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	c, err := Running(fstest.MapFS{"proc/config.gz": {Data: b.Bytes()}})
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name             string
		on, off, builtIn bool
	}{{"KEXEC", true, false, true}, {"NLS", true, false, false}, {"SME", false, true, false}, {"NONE", false, true, false}} {
		if c.On(tt.name) != tt.on || c.Off(tt.name) != tt.off || c.BuiltIn(tt.name) != tt.builtIn {
			t.Errorf("%s: On %v, Off %v, BuiltIn %v", tt.name, c.On(tt.name), c.Off(tt.name), c.BuiltIn(tt.name))
		}
		if unknown := Config(nil); unknown.On(tt.name) || unknown.Off(tt.name) || unknown.BuiltIn(tt.name) {
			t.Errorf("%s is known of no configuration", tt.name)
		}
	}
	if _, err := Running(fstest.MapFS{}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Running without a file: %v", err)
	}
	if _, err := Running(fstest.MapFS{"proc/config.gz": {Data: b.Bytes()[:20]}}); err == nil || !strings.Contains(err.Error(), "/proc/config.gz: ") {
		t.Errorf("Running with half a file: %v", err)
	}
}

// FuzzParse: an option has a value if and only if a line gives it, and what is read survives being
// written and read again.
func FuzzParse(f *testing.F) {
	f.Add("# CONFIG_B is not set\nCONFIG_A=y\nCONFIG_C=m\nCONFIG_S=\"x\"\n")
	f.Fuzz(func(t *testing.T, s string) {
		c, err := Parse([]byte(s))
		if err != nil {
			return
		}
		var b strings.Builder
		for o, v := range c {
			if !strings.Contains(s, "CONFIG_"+o) || !strings.Contains(s, v) {
				t.Fatalf("Parse(%q) has %q=%q", s, o, v)
			}
			b.WriteString("CONFIG_" + o + "=" + v + "\n")
		}
		again, err := Parse([]byte(b.String()))
		if err != nil || len(again) != len(c) {
			t.Fatalf("Parse(%q) = %v, %v; want %v", b.String(), again, err, c)
		}
	})
}
