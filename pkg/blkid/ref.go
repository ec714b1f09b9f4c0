package blkid

import (
	"fmt"
	"path"
	"strconv"
	"strings"
)

// Ref is a device as a configuration names it.
type Ref struct {
	// Key is UUID, LABEL (of the filesystem), PARTUUID or PARTLABEL; "" for a path.
	Key string
	// Value is what Key is to be; for no key an absolute path.
	Value string
}

// String is the spelling that [ParseRef] reads.
func (r Ref) String() string {
	if r.Key == "" {
		return r.Value
	}
	return r.Key + "=" + r.Value
}

// udevLinks are the directories whose names say the same as a key.
var udevLinks = []struct{ dir, key string }{
	{"/dev/disk/by-uuid/", "UUID"}, {"/dev/disk/by-label/", "LABEL"},
	{"/dev/disk/by-partuuid/", "PARTUUID"}, {"/dev/disk/by-partlabel/", "PARTLABEL"},
}

// ParseRef reads a device's name: an absolute path, or a key and a value. Of
// udev's links, those that say the same as a key are taken as that: where there
// is no udev, there are no links.
func ParseRef(s string) (Ref, error) {
	for _, l := range udevLinks {
		if name, ok := strings.CutPrefix(s, l.dir); ok {
			s = l.key + "=" + unescapeUdev(name)
		}
	}
	if key, value, ok := strings.Cut(s, "="); ok && !strings.Contains(key, "/") {
		value = strings.Trim(value, `"`)
		switch {
		case key != "UUID" && key != "LABEL" && key != "PARTUUID" && key != "PARTLABEL":
			return Ref{}, fmt.Errorf("device %q: %s= is not one of UUID=, LABEL=, PARTUUID=, PARTLABEL=", s, key)
		case value == "":
			return Ref{}, fmt.Errorf("device %q: empty", s)
		}
		return Ref{key, value}, nil
	}
	if !path.IsAbs(s) || path.Clean(s) == "/" {
		return Ref{}, fmt.Errorf("device %q is neither an absolute path nor UUID=, LABEL=, PARTUUID= or PARTLABEL=", s)
	}
	return Ref{"", path.Clean(s)}, nil
}

// unescapeUdev decodes the \xHH that udev writes for special characters.
func unescapeUdev(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if strings.HasPrefix(s[i:], `\x`) && len(s) >= i+4 {
			if c, err := strconv.ParseUint(s[i+2:i+4], 16, 8); err == nil && c != 0 {
				b.WriteByte(byte(c))
				i += 3
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

// names reports whether a device bears the name. UUIDs are compared without
// regard to case. A path names by itself.
func (r Ref) names(d *Device) bool {
	switch r.Key {
	case "PARTUUID":
		return d.PartUUID != "" && strings.EqualFold(d.PartUUID, r.Value)
	case "PARTLABEL":
		return d.PartLabel == r.Value
	}
	for _, s := range d.Signatures {
		if r.Key == "UUID" && s.UUID != "" && strings.EqualFold(s.UUID, r.Value) || r.Key == "LABEL" && s.Label == r.Value {
			return true
		}
	}
	return false
}
