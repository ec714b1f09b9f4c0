package blkid

import (
	"strings"
	"testing"
	"unicode/utf8"
)

func TestParseRef(t *testing.T) {
	tests := []struct{ in, want string }{
		{"/dev/sda", "/dev/sda"}, {"UUID=x", "UUID=x"}, {`LABEL="a b"`, `LABEL=a\x20b`}, {`LABEL=my\x20data\x2fx`, `LABEL=my\x20data/x`}, {"LABEL=/", "LABEL=/"}, {`LABEL="`, `LABEL=\x22`}, {"LABEL=a=b", "LABEL=a=b"},
		{"LABEL=\xe9", `LABEL=\xe9`}, {"LABEL=\u00e9", "LABEL=\u00e9"}, {"WWID=naa.5000", "WWID=naa.5000"}, {"SERIAL=x-part2", "SERIAL=x-part2"}, {"PARTUUID=y", "PARTUUID=y"},
		{"/dev/disk/by-partuuid/z", "PARTUUID=z"}, {`/dev/disk/by-label/a\x2fb\x`, `LABEL=a/b\x5cx`}, {"/dev/disk/by-path/pci=1", "/dev/disk/by-path/pci=1"},
		{"", ""}, {"sda", ""}, {"UUID=", ""}, {"ID=x", ""}, {"/", ""}, {"/dev/..", ""}, {"/dev/disk/by-uuid/", ""}, {"UUID=x:var/crash", ""}, {"PARTUUID=x/y", ""},
	}
	for _, tt := range tests {
		got, err := ParseRef(tt.in)
		if (err == nil) != (tt.want != "") || err == nil && got.String() != tt.want {
			t.Errorf("ParseRef(%q) = %v, %v; want %q", tt.in, got, err, tt.want)
		}
	}
}

// FuzzRef: whatever a device is called, its spelling is one word that is read as
// the same name, and so is udev's link.
func FuzzRef(f *testing.F) {
	for _, s := range []string{"crash", "my data", "/", "/boot", `a\b`, `\x41`, `"quoted"`, "\u00e9\u00e8", "\xe9", "a:/b", "a\tb\nc", "=", "'", "\u2028"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, label string) {
		if label == "" || strings.Contains(label, "\x00") {
			return
		}
		ref := Ref{"LABEL", label}
		spelled := ref.String()
		if got, err := ParseRef(spelled); err != nil || got != ref {
			t.Errorf("ParseRef(%q) = %q, %v; want %q", spelled, got, err, ref)
		}
		if f := strings.Fields(spelled); len(f) != 1 || !utf8.ValidString(spelled) || strings.ContainsAny(spelled, "\"'") || strings.Contains(spelled, ":/") {
			t.Errorf("%q is no plain word", spelled)
		}
		if got, err := ParseRef("/dev/disk/by-label/" + LinkName(label)); err != nil || got != ref {
			t.Errorf("ParseRef of the link %q = %q, %v; want %q", LinkName(label), got, err, ref)
		}
	})
}
