package arch

import (
	"os"
	"path"
	"regexp"
	"strings"
	"testing"
)

// The files that ARCHITECTURE.md sends a newcomer to are there.
func TestWhereToChange(t *testing.T) {
	b, err := os.ReadFile("../../ARCHITECTURE.md")
	if err != nil {
		t.Fatal(err)
	}
	_, table, found := strings.Cut(string(b), "## Where to change what\n")
	table, _, end := strings.Cut(table, "\n## ")
	if !found || !end {
		t.Fatal("ARCHITECTURE.md has no table of where to change what")
	}
	files := 0
	for row := range strings.Lines(table) {
		dir := ""
		for _, m := range regexp.MustCompile("`([a-z0-9_/]+(?:\\.go)?)`").FindAllStringSubmatch(row, -1) {
			name := m[1]
			switch {
			case !strings.Contains(name, "/") && !strings.HasSuffix(name, ".go"):
				continue // a name in the code
			case !strings.Contains(name, "/"):
				name = path.Join(dir, name)
			case strings.HasSuffix(name, ".go"):
				dir = path.Dir(name)
			default:
				dir = name
			}
			if files++; !exists("../../" + name) {
				t.Errorf("%s is not there: %s", name, strings.TrimSpace(row))
			}
		}
	}
	if files < 20 {
		t.Errorf("%d files were looked at; want those of every row", files)
	}
}

func exists(name string) bool {
	_, err := os.Stat(name)
	return err == nil
}
