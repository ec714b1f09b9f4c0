package vmlab

import (
	"reflect"
	"strings"
	"testing"
	"testing/fstest"
)

func TestReadSources(t *testing.T) {
	const security = "deb http://security.example/debian-security bookworm-security main\n"
	for _, test := range []struct {
		name  string
		files map[string]string
		want  Sources
	}{
		{
			name: "nothing",
			want: Sources{Source{defaultArchive, archiveKeyring}, Source{defaultSecurity, archiveKeyring}},
		},
		{
			name: "deb822",
			files: map[string]string{"etc/apt/sources.list.d/debian.sources": `Types: deb deb-src
# a comment
URIs: http://a.example/debian/
Suites: bookworm
 bookworm-updates
Components: main contrib
Signed-By: /usr/share/keyrings/k.gpg

Types: deb
URIs: mirror+file:///etc/apt/mirrors/security.list
Suites: bookworm-security
Components: main
Signed-By:
 -----BEGIN PGP PUBLIC KEY BLOCK-----
 .
`},
			want: Sources{Source{"http://a.example/debian", "/usr/share/keyrings/k.gpg"},
				Source{"mirror+file:///etc/apt/mirrors/security.list", archiveKeyring}},
		},
		{
			name: "one line",
			files: map[string]string{"etc/apt/sources.list": `# deb http://commented.example bookworm main
deb-src http://source.example/debian bookworm main
deb [arch=amd64 signed-by=/k.gpg] http://a.example/debian trixie main non-free # why not
` + security},
			want: Sources{Source{"http://a.example/debian", "/k.gpg"}, Source{"http://security.example/debian-security", ""}},
		},
		{
			name: "others' repositories",
			files: map[string]string{
				"etc/apt/sources.list.d/a.list": "deb https://other.example/apt stable other\n" +
					"deb https://cloud.example sdk-bookworm main\ndeb [broken https://x bookworm main\ndeb short\n" + security,
				"etc/apt/sources.list.d/b.sources": "Types: deb\nEnabled: no\nURIs: http://off.example\nSuites: sid\nComponents: main\n",
				"etc/apt/sources.list.d/c.txt":     "deb http://ignored.example sid main\n",
			},
			want: Sources{Source{defaultArchive, archiveKeyring}, Source{"http://security.example/debian-security", ""}},
		},
		{
			name: "old security suite",
			files: map[string]string{
				"etc/apt/sources.list": "deb http://a.example/debian unstable main\ndeb http://s.example bullseye-security/updates main\n",
			},
			want: Sources{Source{"http://a.example/debian", ""}, Source{"http://s.example", ""}},
		},
	} {
		root := fstest.MapFS{}
		for name, content := range test.files {
			root[name] = &fstest.MapFile{Data: []byte(content)}
		}
		got, err := ReadSources(root)
		if err != nil || got != test.want {
			t.Errorf("%s: ReadSources = %+v, %v; want %+v", test.name, got, err, test.want)
		}
	}
}

func TestStanzas(t *testing.T) {
	got := suites["trixie-backports"].stanzas(Sources{Source{"http://a", "/k"}, Source{"http://s", ""}})
	want := "Types: deb\nURIs: http://a\nSuites: trixie trixie-backports\nComponents: main\nSigned-By: /k\n\n" +
		"Types: deb\nURIs: http://s\nSuites: trixie-security\nComponents: main\n\n"
	if got != want {
		t.Errorf("stanzas = %q; want %q", got, want)
	}
	if got := suites["sid"].stanzas(Sources{}); strings.Count(got, "Types:") != 1 {
		t.Errorf("stanzas of sid = %q; want one", got)
	}
}

// What is printed in deb822 is read back.
func FuzzParseStanzas(f *testing.F) {
	f.Add("Types", "deb\n deb-src")
	f.Add("X-Y", "a: b")
	f.Fuzz(func(t *testing.T, name, value string) {
		stanzas := parseStanzas(name + ": " + value + "\n\nPackage: last\n")
		if len(stanzas) == 0 || stanzas[len(stanzas)-1]["package"] != "last" {
			t.Fatalf("the last stanza is lost: %q", stanzas)
		}
		simple := func(s, bad string) bool {
			return s != "" && !strings.ContainsAny(s, bad) && strings.TrimSpace(s) == s
		}
		if simple(name, ":\n\r# \t") && simple(value, "\n\r") && !strings.HasPrefix(name, "#") {
			want := map[string]string{strings.ToLower(name): value}
			if !reflect.DeepEqual(stanzas[0], want) {
				t.Errorf("got %q; want %q", stanzas[0], want)
			}
		}
	})
}
