package stack

import (
	"reflect"
	"strings"
	"testing"

	"github.com/gokexec/gokexec/internal/disktest"
)

func TestParseLVMText(t *testing.T) {
	for in, want := range map[string]string{
		"":                           "",
		" \n# only this":             "",
		"b = 1\na = -7 # c\n":        "a=-7\nb=1\n",
		"a=[]":                       "a=[]\n",
		"a = [ \"x\", 2 # c\n, 3]":   "a=[\"x\",2,3]\n",
		"s {\n\tt { a = 0 }\n}\nb=2": "b=2\ns{\nt{\na=0\n}\n}\n",
		`a = "\"q\" \\ \n # {"`:      `a="\"q\" \\ \\n # {"` + "\n",
		"a-b+c.d_0{}":                "a-b+c.d_0{\n}\n",
		"a = 9223372036854775807":    "a=9223372036854775807\n",
	} {
		s, err := parseLVMText(in)
		if err != nil {
			t.Errorf("%q: %v", in, err)
		} else if got := string(s.append(nil)); got != want {
			t.Errorf("%q is %q; want %q", in, got, want)
		}
	}
	for in, want := range map[string]string{
		"a":                            "byte 1: neither { nor = after \"a\"",
		"a = ":                         `"" is no value`,
		"a = x":                        `"x" is no value`,
		"a = 1.5":                      `"1.5" is no value`,
		"a = +1":                       `"+1" is no value`,
		"a = 010":                      `"010" is no value`,
		"a = -0":                       `"-0" is no value`,
		"a = 9223372036854775808":      "is no value",
		"a = \"x":                      "a string without an end",
		"a = \"x\\\"":                  "a string without an end",
		"a = \"\x00\"":                 "a NUL byte",
		"a = [1 2]":                    "neither , nor ]",
		"a = [1,]":                     `"" is no value`,
		"a = [[1]]":                    `"" is no value`,
		"a = 1 a = 2":                  `"a" is there twice`,
		"a {":                          "the end within a section",
		"}":                            "no name",
		"a = 1\x00":                    "no name",
		"a { b = 1 } }":                "no name",
		"\"a\" = 1":                    "no name",
		strings.Repeat("a{", 17) + "b": "sections within sections",
		"a = [" + strings.Repeat("1,", maxGroupValues) + "1]": "more than 262144 names",
		strings.Repeat(" ", maxGroupText+1):                   "text of 4194305 bytes",
	} {
		if s, err := parseLVMText(in); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.40q: %v, %v; want an error with %q", in, s, err, want)
		}
	}
}

// What is parsed and printed is parsed to the same.
func FuzzParseLVMText(f *testing.F) {
	f.Add(smallGroup().Text())
	f.Add(disktest.VolumeGroup{Name: "g", ID: disktest.LVMID("g"), Volumes: testGroup().Volumes[9:11]}.Text())
	f.Add(`a = "\"q\" \\ \x" b { c = [1, -2, "x"] d = [] }`)
	f.Add(disktest.Segment(4, "thin-pool", "message1 {", `create = "x"`, "}"))
	f.Fuzz(func(t *testing.T, text string) {
		s, err := parseLVMText(text)
		if err != nil {
			return
		}
		printed := string(s.append(nil))
		again, err := parseLVMText(printed)
		if err != nil || !reflect.DeepEqual(s, again) {
			t.Fatalf("%q is printed %q, which is %v, %v", text, printed, again, err)
		}
		if g, err := parseVolumeGroup(text); err == nil {
			g.digest([]string{disktest.LVMID("var"), disktest.LVMID("x")})
		}
	})
}
