package vmlab

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/gokexec/gokexec/internal/decompress"
)

// moduleIndex is what lib/modules/RELEASE says about a kernel's modules.
type moduleIndex struct {
	dir     string              // host path of lib/modules/RELEASE
	paths   map[string]string   // module name -> path below dir
	needs   map[string][]string // path -> paths it needs, as modules.dep has them
	builtin map[string]bool     // module names
}

// moduleName makes a module's name of its file's: '-' and '_' are the same.
func moduleName(file string) string {
	name, _, _ := strings.Cut(path.Base(file), ".")
	return strings.ReplaceAll(name, "-", "_")
}

func (k *Kernel) moduleIndex() (*moduleIndex, error) {
	if k.ModulesRoot == "" {
		return nil, fmt.Errorf("kernel %s has no modules here", k.Name)
	}
	dir := filepath.Join(k.ModulesRoot, "lib/modules", k.Release)
	if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
		dir = filepath.Join(k.ModulesRoot, "usr/lib/modules", k.Release)
	}
	dep, err := os.ReadFile(filepath.Join(dir, "modules.dep"))
	if err != nil {
		return nil, err
	}
	builtin, err := os.ReadFile(filepath.Join(dir, "modules.builtin"))
	if err != nil {
		return nil, err
	}
	index, err := parseModuleIndex(string(dep), string(builtin))
	if err != nil {
		return nil, fmt.Errorf("%s/modules.dep: %w", dir, err)
	}
	index.dir = dir
	return index, nil
}

// parseModuleIndex reads modules.dep ("path: needed path...", modules.dep(5))
// and modules.builtin (one path a line).
func parseModuleIndex(dep, builtin string) (*moduleIndex, error) {
	index := &moduleIndex{paths: map[string]string{}, needs: map[string][]string{}, builtin: map[string]bool{}}
	number := 0
	for line := range strings.Lines(dep) {
		number++
		if line = strings.TrimSpace(line); line == "" {
			continue
		}
		file, needs, ok := strings.Cut(line, ":")
		if !ok {
			return nil, fmt.Errorf("line %d: no colon in %q", number, line)
		}
		index.paths[moduleName(file)] = file
		index.needs[file] = strings.Fields(needs)
	}
	for line := range strings.Lines(builtin) {
		if line = strings.TrimSpace(line); line != "" {
			index.builtin[moduleName(line)] = true
		}
	}
	return index, nil
}

// order lists the files of the named modules and of all they need, each after
// what it needs. What is built in needs no file.
func (x *moduleIndex) order(names []string) ([]string, error) {
	var files []string
	for _, name := range names {
		name = moduleName(name)
		file, ok := x.paths[name]
		if !ok {
			if x.builtin[name] {
				continue
			}
			return nil, fmt.Errorf("the kernel has no module %s", name)
		}
		// modules.dep lists the whole closure, what is needed first last.
		needs := slices.Clone(x.needs[file])
		slices.Reverse(needs)
		for _, f := range append(needs, file) {
			if !slices.Contains(files, f) {
				files = append(files, f)
			}
		}
	}
	return files, nil
}

// builtin says whether all the named modules are known to be built in.
func (k *Kernel) builtin(names ...string) bool {
	index, err := k.moduleIndex()
	if err != nil {
		return false
	}
	for _, name := range names {
		if !index.builtin[moduleName(name)] {
			return false
		}
	}
	return true
}

// ModuleFiles returns the files that make a guest's agent load the named
// modules, and what they need, before it answers: /lab/modules and the modules,
// uncompressed. Names that are built in are left out.
func (k *Kernel) ModuleFiles(names ...string) ([]File, error) {
	if len(names) == 0 {
		return nil, nil
	}
	index, err := k.moduleIndex()
	if err != nil {
		return nil, err
	}
	order, err := index.order(names)
	if err != nil {
		return nil, fmt.Errorf("kernel %s: %w", k.Name, err)
	}
	var files []File
	var list strings.Builder
	for i, file := range order {
		content, err := readModule(filepath.Join(index.dir, file))
		if err != nil {
			return nil, err
		}
		guest := fmt.Sprintf("/lab/modules.d/%03d-%s.ko", i, moduleName(file))
		fmt.Fprintln(&list, guest)
		files = append(files, File{Path: guest, Data: content})
	}
	return append(files, File{Path: "/lab/modules", Data: []byte(list.String())}), nil
}

// maxModule bounds an unpacked module, in bytes.
const maxModule = 256 << 20

// readModule reads a module file, and unpacks it if it is compressed.
func readModule(file string) ([]byte, error) {
	content, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	codec := decompress.Of(content)
	if codec == nil {
		return content, nil
	}
	content, err = codec.Unpack(bytes.NewReader(content), int64(len(content)), 0, maxModule)
	if err != nil {
		return nil, fmt.Errorf("unpack %s: %w", file, err)
	}
	return content, nil
}
