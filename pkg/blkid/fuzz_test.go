package blkid

import (
	"bytes"
	"io"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

// FuzzProbe: a planted superblock is found whatever is around it, a planted member is a
// member; in anything, only what is blank is found blank, and names are printable.
func FuzzProbe(f *testing.F) {
	for i := range plants {
		f.Add([]byte("some data"), uint16(i), testUUID[:], "label")
	}
	for i := range memberPlants {
		f.Add([]byte{}, uint16(len(plants)+i), []byte{}, "")
	}
	f.Add([]byte{}, uint16(999), []byte{}, "")
	f.Fuzz(func(t *testing.T, data []byte, kind uint16, id []byte, label string) {
		// The data is repeated, so that it reaches all offsets.
		b := make([]byte, 1<<18+len(data)%128*512)
		for n := copy(b, data); n > 0 && n < len(b); n += copy(b[n:], b[:n]) {
		}
		var want *Signature
		member := ""
		if i := int(kind); i < len(plants) {
			p := plants[i]
			var uuid [16]byte
			copy(uuid[:], id)
			label = strings.Trim(strings.ToValidUTF8(strings.ReplaceAll(label, "\x00", ""), ""), " \t\n\v\f\r")
			for len(label) > p.labels {
				_, n := utf8.DecodeLastRuneInString(label)
				label = strings.TrimRight(label[:len(label)-n], " \t\n\v\f\r")
			}
			if p.name == "vfat" && label == noName {
				label = ""
			}
			want = &Signature{Kind: p.kind, Type: p.name, UUID: p.plant(b, uuid, label), Label: label, Mountable: !slices.Contains(unmountable, p.name)}
		} else if i -= len(plants); i < len(memberPlants) && len(data) == 0 && memberPlants[i].what != "far" {
			memberPlants[i].plant(b)
			member = memberPlants[i].name
		}
		c, err := Inspect(bytes.NewReader(b), int64(len(b)))
		if err != nil {
			t.Fatalf("Inspect: %v", err)
		}
		got := c.Signatures
		if want != nil && !slices.Contains(got, *want) {
			t.Errorf("Probe = %+v; want %+v in it", got, *want)
		}
		v := c.Verdict()
		if member != "" && (v.Kind != Member || v.Signature.Type != member) {
			t.Errorf("verdict %+v; want a member, %s", v, member)
		}
		if blank := len(bytes.Trim(b, "\x00")) == 0; v.Kind == Blank && !blank || blank && v.Kind != Blank {
			t.Errorf("verdict %+v; blank is %v", v, blank)
		}
		for i, s := range got {
			if s.Type == "" || s.Kind == "" || !utf8.ValidString(s.Label) || slices.ContainsFunc(got[:i], func(o Signature) bool { return o.Type == s.Type }) {
				t.Errorf("Probe = %+v", got)
			}
		}
		// A device that ends early is no different from a short one.
		short := int64(len(data)) % int64(len(b))
		if _, err := Probe(io.NewSectionReader(bytes.NewReader(b), 0, short), short); err != nil {
			t.Errorf("Probe of the first %d bytes: %v", short, err)
		}
	})
}
