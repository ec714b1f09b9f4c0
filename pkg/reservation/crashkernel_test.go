package reservation

import (
	"errors"
	"strings"
	"testing"

	"github.com/gokexec/gokexec/pkg/cmdline"
)

const (
	mib = 1 << 20
	gib = 1 << 30
)

func TestParse(t *testing.T) {
	tests := []struct {
		text  string
		sizes map[uint64]uint64 // by RAM
		want  string            // printed again; "" as it is
		err   string
	}{
		{text: "256M", sizes: map[uint64]uint64{gib: 256 * mib, 1 << 45: 256 * mib}},
		{text: "0x10000000", want: "256M"},
		{text: "262144k", want: "256M"},
		{text: "0400M", want: "256M"},
		{text: "1t", want: "1T"},
		{text: "256M@16M"},
		{text: "512M,high"},
		{text: "72M,low"},
		{text: "1G,cma"},
		{text: "0"},
		{text: "2G-64G:256M,64G-:512M", sizes: map[uint64]uint64{gib: 0, 2 * gib: 256 * mib, 2*gib - 100*mib: 256 * mib, 64*gib - 1<<28: 256 * mib, 64*gib - 1: 512 * mib, 1 << 44: 512 * mib}},
		{text: "512M-:192M", sizes: map[uint64]uint64{256 * mib: 0, 512 * mib: 192 * mib}},
		{text: "2G-4G:320M,4G-32G:512M,32G-64G:1024M,64G-128G:2048M,128G-:4096M", want: "2G-4G:320M,4G-32G:512M,32G-64G:1G,64G-128G:2G,128G-:4G"},
		{text: "0-1G:0,1G-:128M@32M", sizes: map[uint64]uint64{512 * mib: 0, gib: 128 * mib}},
		{text: "1G-:2G", sizes: map[uint64]uint64{gib: 0}},
		{text: "", err: "a number is missing"},
		{text: "auto", err: "a number is missing"},
		{text: "M", err: "a number is missing"},
		{text: "256MB", err: `"B" is neither`},
		{text: "-1", err: "a number is missing"},
		{text: "256M,", err: `"," is neither`},
		{text: "256M,High", err: "neither"},
		{text: "256M@", err: "a number is missing"},
		{text: "256M@16M@16M", err: "after the offset"},
		{text: "256M@16M,high", err: "before"},
		{text: "2G-64G:256M,high", err: "a number is missing"},
		{text: "4G-2G:256M", err: "ends before it begins"},
		{text: "4G:256M", err: "no '-'"},
		{text: "4G-8G256M:", err: "no ':'"},
		{text: "99999999999999999999", err: "64 bits"},
		{text: "16E", err: "64 bits"},
		{text: strings.Repeat("1G-:1M,", 65) + "1G-:1M", err: "more than 64 ranges"},
	}
	for _, tt := range tests {
		v, err := Parse(tt.text)
		if tt.err != "" {
			if !errors.Is(err, ErrSyntax) || !strings.Contains(err.Error(), tt.err) {
				t.Errorf("Parse(%q) = %v, %v; want an error with %q", tt.text, v, err, tt.err)
			}
			continue
		}
		want := tt.want
		if want == "" {
			want = tt.text
		}
		if err != nil || v.String() != want {
			t.Errorf("Parse(%q) = %v, %v; want %s", tt.text, v, err, want)
		}
		for ram, size := range tt.sizes {
			if got := v.Size(ram); got != size {
				t.Errorf("%s with %d MiB of RAM = %d MiB; want %d", tt.text, ram/mib, got/mib, size/mib)
			}
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{"256M", "512M,high", "2G-64G:256M,64G-:512M@16M", "0x1000k,cma", "0-:0"} {
		f.Add(s, uint64(4*gib))
	}
	f.Fuzz(func(t *testing.T, text string, ram uint64) {
		v, err := Parse(text)
		if err != nil {
			return
		}
		again, err := Parse(v.String())
		if err != nil || again.String() != v.String() {
			t.Errorf("Parse(%q).String() = %q, which is read as %v, %v", text, v, again, err)
		}
		ram &= 1<<48 - 1
		if v.Size(ram) != again.Size(ram) {
			t.Errorf("%q: %d bytes with %d of RAM, but %d once printed", text, v.Size(ram), ram, again.Size(ram))
		}
	})
}

// The last of each kind counts, and a plain one before ",high" and ",low".
func TestWords(t *testing.T) {
	for _, tt := range []struct{ line, want string }{
		{"quiet root=/dev/vda1", ""},
		{"crashkernel=128M quiet crashkernel=256M", "256M"},
		{"crashkernel=512M,high crashkernel=72M,low", "512M,high 72M,low"},
		{"crashkernel=72M,low", ""},
		{"crashkernel=512M,high crashkernel=72M,low crashkernel=256M", "256M"},
		{"crashkernel=256M crashkernel=1G,cma crashkernel=2G,cma", "256M 2G,cma"},
		{"crashkernel=auto", "error"},
	} {
		c, err := cmdline.Parse(tt.line)
		if err != nil {
			t.Fatal(err)
		}
		values, err := Words(c)
		var texts []string
		for _, v := range values {
			texts = append(texts, v.String())
		}
		got := strings.Join(texts, " ")
		if err != nil {
			got = "error"
		}
		if got != tt.want {
			t.Errorf("Words(%q) = %q, %v; want %q", tt.line, got, err, tt.want)
		}
	}
}
