package blkid

import (
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Ref is a device as a configuration names it.
type Ref struct {
	// Key is UUID, LABEL (of the filesystem), PARTUUID, PARTLABEL, WWID or SERIAL
	// (of a disk, as sysfs has them); "" for a path.
	Key string
	// Value is what Key is to be; for no key an absolute path. WWID's and
	// SERIAL's may end with -partN for a partition, as in udev's links.
	Value string
}

// keys are those of a Ref.
var keys = []string{"UUID", "LABEL", "PARTUUID", "PARTLABEL", "WWID", "SERIAL"}

// keyList is "UUID=, LABEL= ...", for messages.
func keyList() string { return strings.Join(keys, "=, ") + "=" }

// String is a spelling that [ParseRef] reads, without blanks: what could end the
// name in a list, on a kernel's command line or before a path is written \xHH.
func (r Ref) String() string {
	if r.Key == "" {
		return r.Value
	}
	return r.Key + "=" + Escape(r.Value)
}

// udevLinks are the directories whose names say the same as a key.
var udevLinks = []struct{ dir, key string }{
	{"/dev/disk/by-uuid/", "UUID"}, {"/dev/disk/by-label/", "LABEL"},
	{"/dev/disk/by-partuuid/", "PARTUUID"}, {"/dev/disk/by-partlabel/", "PARTLABEL"},
}

// ParseRef reads a device's name: an absolute path, or a key and a value. In a
// value \xHH stands for a byte, and quotes around it are dropped. Of udev's
// links, those that say the same as a key are taken as that: where there is no
// udev, there are no links.
func ParseRef(s string) (Ref, error) {
	for _, l := range udevLinks {
		if name, ok := strings.CutPrefix(s, l.dir); ok {
			return keyed(s, l.key, Unescape(name))
		}
	}
	if key, value, ok := strings.Cut(s, "="); ok && !strings.Contains(key, "/") {
		if len(value) >= 2 && value[0] == '"' && value[len(value)-1] == '"' {
			value = value[1 : len(value)-1]
		}
		return keyed(s, key, Unescape(value))
	}
	if !path.IsAbs(s) || path.Clean(s) == "/" {
		return Ref{}, fmt.Errorf("device %q is neither an absolute path nor one of %s", s, keyList())
	}
	return Ref{"", path.Clean(s)}, nil
}

func keyed(s, key, value string) (Ref, error) {
	switch {
	case !slices.Contains(keys, key):
		return Ref{}, fmt.Errorf("device %q: %s= is not one of %s", s, key, keyList())
	case value == "":
		return Ref{}, fmt.Errorf("device %q: empty", s)
	case (key == "UUID" || key == "PARTUUID") && strings.ContainsAny(value, ":/ \t\n"):
		return Ref{}, fmt.Errorf("device %q: %q is in no %s", s, value[strings.IndexAny(value, ":/ \t\n")], key)
	}
	return Ref{key, value}, nil
}

// Escape writes the bytes of s as \xHH that end a word or mean something of
// their own where targets are named: blanks, control characters, quotes,
// backslashes, a shell's patterns, a colon before a slash, and what is not UTF-8.
func Escape(s string) string {
	return escape(s, func(s string, r rune) bool {
		return r == ':' && strings.HasPrefix(s, ":/") || unicode.IsSpace(r) || unicode.IsControl(r) || strings.ContainsRune("\\\"'*?[", r)
	})
}

// LinkName is the name that udev gives to a link for a value
// (util-linux: libblkid, blkid_encode_string).
func LinkName(value string) string {
	return escape(value, func(_ string, r rune) bool {
		return r < utf8.RuneSelf && !('0' <= r && r <= '9' || 'A' <= r && r <= 'Z' || 'a' <= r && r <= 'z' || strings.ContainsRune("#+-.:=@_", r))
	})
}

func escape(s string, special func(rest string, r rune) bool) string {
	var b strings.Builder
	for i := 0; i < len(s); {
		r, n := utf8.DecodeRuneInString(s[i:])
		if r == utf8.RuneError && n == 1 || special(s[i:], r) {
			for _, c := range []byte(s[i : i+n]) {
				fmt.Fprintf(&b, `\x%02x`, c)
			}
		} else {
			b.WriteString(s[i : i+n])
		}
		i += n
	}
	return b.String()
}

// Unescape decodes \xHH.
func Unescape(s string) string {
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

// Names reports whether a device has the name. UUIDs are compared without
// regard to case. A path names by itself.
func (r Ref) Names(d *Device) bool {
	// What is read of a device is UTF-8.
	value := strings.ToValidUTF8(r.Value, "\ufffd")
	switch r.Key {
	case "PARTUUID":
		return d.PartUUID != "" && strings.EqualFold(d.PartUUID, r.Value)
	case "PARTLABEL":
		return d.PartLabel == value
	case "WWID":
		return d.WWID != "" && d.WWID == r.Value
	case "SERIAL":
		return d.Serial != "" && d.Serial == r.Value
	}
	for _, s := range d.Signatures {
		if r.Key == "UUID" && s.UUID != "" && strings.EqualFold(s.UUID, r.Value) || r.Key == "LABEL" && s.Label == value {
			return true
		}
	}
	return false
}
