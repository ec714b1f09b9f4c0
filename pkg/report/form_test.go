package report

import (
	"bytes"
	"flag"
	"fmt"
	"html"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

var update = flag.Bool("update", false, "write the golden files anew")

// The three forms stay as they are until somebody means to change them: programs read one, people know the others.
func TestForms(t *testing.T) {
	for name, r := range map[string]*Report{"full": sample(), "log": logOnly(), "empty": {}} {
		for ext, write := range map[string]func(io.Writer) error{"txt": r.WriteText, "json": r.WriteJSON, "html": r.WriteHTML} {
			var b bytes.Buffer
			if err := write(&b); err != nil {
				t.Fatal(err)
			}
			golden(t, name+"."+ext, b.Bytes())
		}
	}
}

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("%s differs (go test -update writes it): %v\n%s", path, err, got)
	}
}

func TestReadJSON(t *testing.T) {
	var b bytes.Buffer
	want := sample()
	if err := want.WriteJSON(&b); err != nil {
		t.Fatal(err)
	}
	got, err := ReadJSON(bytes.NewReader(b.Bytes()))
	if err != nil {
		t.Fatal(err)
	}
	// What is no UTF-8 can't come back.
	for _, s := range []*string{&want.Others[1].Task.Name, &want.Modules[3].Name, &want.Memory.Slabs[2].Name, &want.LogTail[3]} {
		*s = strings.ToValidUTF8(*s, "\ufffd")
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("read back: %+v; want %+v", got, want)
	}
	for _, tt := range []struct{ name, text, want string }{
		{"version", `{"version":2}`, "version 2; want 1"},
		{"no version", `{}`, "version 0"},
		{"no JSON", `hello`, "no JSON"},
		{"address", `{"version":1,"modules":[{"address":"x"}]}`, "invalid syntax"},
		{"size", `{"version":1,"title":"` + strings.Repeat("x", MaxSize) + `"}`, "more than"},
	} {
		if _, err := ReadJSON(strings.NewReader(tt.text)); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v; want %q", tt.name, err, tt.want)
		}
	}
}

// failing fails after some bytes.
type failing int

func (f *failing) Write(p []byte) (int, error) {
	if *f -= failing(len(p)); *f < 0 {
		return 0, io.ErrClosedPipe
	}
	return len(p), nil
}

func TestWriteError(t *testing.T) {
	for _, room := range []int{0, 5000} {
		for name, write := range map[string]func(*Report, io.Writer) error{"text": (*Report).WriteText, "json": (*Report).WriteJSON, "html": (*Report).WriteHTML} {
			r, f := sample(), failing(room)
			r.LogTail = strings.SplitAfter(strings.Repeat("x\n", 20000), "\n")
			if err := write(r, &f); err == nil {
				t.Errorf("%s, after %d bytes: no error", name, room)
			}
		}
	}
}

// fillStrings sets every string that a value holds.
func fillStrings(v reflect.Value, s string) {
	switch v.Kind() {
	case reflect.String:
		v.SetString(s)
	case reflect.Pointer:
		if !v.IsNil() {
			fillStrings(v.Elem(), s)
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Field(i).CanSet() {
				fillStrings(v.Field(i), s)
			}
		}
	case reflect.Slice:
		for i := range v.Len() {
			fillStrings(v.Index(i), s)
		}
	}
}

// Whatever names a dump has, the text has no control characters, and the page has the tags and attributes that it
// always has, in the same order.
func FuzzHostile(f *testing.F) {
	f.Add(hostile)
	f.Add("<!--")
	f.Add("]]>")
	f.Add("\" onload=\"alert(1)")
	f.Add("&lt;")
	f.Add("a\r\nb\x00\u2028c\ufeff")
	f.Fuzz(func(t *testing.T, s string) {
		r := sample()
		fillStrings(reflect.ValueOf(r).Elem(), s)
		var text, page, data bytes.Buffer
		for _, err := range []error{r.WriteText(&text), r.WriteHTML(&page), r.WriteJSON(&data)} {
			if err != nil {
				t.Fatal(err)
			}
		}
		if i := strings.IndexFunc(text.String(), func(r rune) bool {
			return r != '\n' && (r < ' ' || r >= 0x7f && r < 0xa0 || r >= 0x202a && r <= 0x202e)
		}); i >= 0 || !utf8.Valid(text.Bytes()) {
			t.Errorf("the text has a control character: %q", text.Bytes()[max(i-20, 0):])
		}
		harmless := sample()
		fillStrings(reflect.ValueOf(harmless).Elem(), shape(s))
		var plain bytes.Buffer
		if err := harmless.WriteHTML(&plain); err != nil {
			t.Fatal(err)
		}
		if got, want := tags(t, page.String()), tags(t, plain.String()); got != want {
			t.Errorf("%q changes the tags of the page:\n%s\nwant\n%s", s, got, want)
		}
		if _, err := ReadJSON(&data); err != nil {
			t.Errorf("%q: the JSON can't be read: %v", s, err)
		}
	})
}

// shape is a string that the page treats as s, with nothing to escape: what matters is whether it is empty, and has a +.
func shape(s string) string {
	return strings.Map(func(r rune) rune {
		if strings.ContainsRune("<>&\"'", r) {
			return 'x'
		}
		return r
	}, s)
}

// tags are the tags of a page. A bare < or > in the contents is an error.
func tags(t *testing.T, page string) string {
	t.Helper()
	_, body, _ := strings.Cut(page, "</style>")
	var all strings.Builder
	for {
		text, rest, more := strings.Cut(body, "<")
		if strings.Contains(text, ">") {
			t.Fatalf("a > outside of a tag: %q", text)
		}
		for i := range len(text) {
			if text[i] == '&' && !entity(text[i:]) {
				t.Fatalf("an & that is not escaped: %q", text)
			}
		}
		if !more {
			return all.String()
		}
		tag, after, ended := strings.Cut(rest, ">")
		if !ended || strings.Contains(tag, "<") || strings.Count(tag, `"`)%2 != 0 {
			t.Fatalf("not a tag: %q", tag)
		}
		if strings.HasPrefix(tag, "div class=\"memory\"") {
			tag = "div class=\"memory\""
		}
		fmt.Fprintln(&all, tag)
		body = after
	}
}

func entity(s string) bool {
	name, _, ok := strings.Cut(s, ";")
	return ok && html.UnescapeString(name+";") != name+";"
}

func TestLinesOfText(t *testing.T) {
	var b bytes.Buffer
	if err := sample().WriteText(&b); err != nil {
		t.Fatal(err)
	}
	body, _, _ := strings.Cut(b.String(), "End of the kernel log")
	for l := range strings.Lines(body) {
		if n := utf8.RuneCountInString(strings.TrimSuffix(l, "\n")); n > textWidth {
			t.Errorf("%d columns: %s", n, l)
		}
	}
}

// Each key of report.json is in docs/formats.md.
func TestKeysAreDocumented(t *testing.T) {
	b, err := os.ReadFile("../../docs/formats.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(b), "## report.json")
	section, _, _ = strings.Cut(section, "\n## ")
	keys := map[string]bool{}
	collectKeys(reflect.TypeFor[Report](), keys)
	if !keys["off_cpu_ns"] || !keys["holder_pid"] {
		t.Fatalf("keys %v; want those of the nested structures too", keys)
	}
	for key := range keys {
		if !strings.Contains(section, "`"+key+"`") {
			t.Errorf("docs/formats.md does not name %s", key)
		}
	}
}

func collectKeys(v reflect.Type, keys map[string]bool) {
	for v.Kind() == reflect.Pointer || v.Kind() == reflect.Slice {
		v = v.Elem()
	}
	if v.Kind() != reflect.Struct || v == reflect.TypeFor[time.Time]() {
		return
	}
	for i := range v.NumField() {
		if key, _, _ := strings.Cut(v.Field(i).Tag.Get("json"), ","); key != "" {
			keys[key] = true
		}
		collectKeys(v.Field(i).Type, keys)
	}
}
