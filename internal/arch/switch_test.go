package arch

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"strings"
	"testing"
)

// recognisers compare machines to find out what a file is of, not to do something else
// on an architecture.
var recognisers = map[string]bool{
	"pkg/bootimage/recognise.go": true,
}

// What differs by architecture is a row of a table: no code compares a machine with one of debug/elf's.
func TestNoArchitectureSwitch(t *testing.T) {
	compared := map[string]bool{}
	for _, root := range []string{"pkg", "cmd", "internal"} {
		err := filepath.WalkDir("../../"+root, func(name string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || filepath.Ext(name) != ".go" || strings.HasSuffix(name, "_test.go") || !product(name) {
				return err
			}
			set := token.NewFileSet()
			file, err := parser.ParseFile(set, name, nil, parser.SkipObjectResolution)
			if err != nil {
				return err
			}
			name = strings.TrimPrefix(filepath.ToSlash(name), "../../")
			ast.Inspect(file, func(n ast.Node) bool {
				if comparesMachine(n) {
					compared[name] = true
					if !recognisers[name] {
						t.Errorf("%s: a machine is compared; make it a row of a table", set.Position(n.Pos()))
					}
				}
				return true
			})
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	for name := range recognisers {
		if !compared[name] {
			t.Errorf("%s compares no machine: take it off the list", name)
		}
	}
}

// product tells files of the layers from those for tests.
func product(name string) bool {
	dir := strings.TrimPrefix(filepath.ToSlash(filepath.Dir(name)), "../../")
	for _, layer := range layers() {
		for _, p := range layer {
			if p == dir {
				return true
			}
		}
	}
	return false
}

func comparesMachine(n ast.Node) bool {
	switch n := n.(type) {
	case *ast.BinaryExpr:
		return (n.Op == token.EQL || n.Op == token.NEQ) && (isMachine(n.X) || isMachine(n.Y))
	case *ast.CaseClause:
		for _, e := range n.List {
			if isMachine(e) {
				return true
			}
		}
	}
	return false
}

// isMachine tells debug/elf's machines, but for "none".
func isMachine(e ast.Expr) bool {
	s, ok := e.(*ast.SelectorExpr)
	if !ok {
		return false
	}
	pkg, ok := s.X.(*ast.Ident)
	return ok && pkg.Name == "elf" && strings.HasPrefix(s.Sel.Name, "EM_") && s.Sel.Name != "EM_NONE"
}
