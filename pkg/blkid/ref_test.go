package blkid

import "testing"

func TestParseRef(t *testing.T) {
	tests := []struct{ in, want string }{
		{"/dev/sda", "/dev/sda"}, {"UUID=x", "UUID=x"}, {`LABEL="a b"`, "LABEL=a b"}, {"PARTUUID=y", "PARTUUID=y"},
		{"/dev/disk/by-partuuid/z", "PARTUUID=z"}, {`/dev/disk/by-label/a\x2fb\x`, `LABEL=a/b\x`}, {"/dev/disk/by-path/pci=1", "/dev/disk/by-path/pci=1"},
		{"", ""}, {"sda", ""}, {"UUID=", ""}, {"ID=x", ""}, {"/", ""}, {"/dev/..", ""}, {"/dev/disk/by-uuid/", ""},
	}
	for _, tt := range tests {
		got, err := ParseRef(tt.in)
		if (err == nil) != (tt.want != "") || err == nil && got.String() != tt.want {
			t.Errorf("ParseRef(%q) = %v, %v; want %q", tt.in, got, err, tt.want)
		}
	}
}
