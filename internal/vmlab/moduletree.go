package vmlab

import (
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/gokexec/gokexec/pkg/kmod"
)

// ModuleTree returns what a guest needs to build an initramfs with the named modules and what they need:
// these as they are packaged, and the index files, under /lib/modules.
func (k *Kernel) ModuleTree(names ...string) ([]File, error) {
	root := os.DirFS(k.ModulesRoot)
	tree, err := kmod.Open(root, k.Release)
	if err != nil {
		return nil, err
	}
	needed, err := tree.Closure(nil, names)
	if err != nil {
		return nil, err
	}
	var files []File
	add := func(name string) {
		guest := path.Join("/lib/modules", k.Release, strings.TrimPrefix(name, tree.Dir()))
		files = append(files, File{Path: guest, Source: filepath.Join(k.ModulesRoot, name)})
	}
	for _, m := range needed {
		add(m.Path)
	}
	index, err := fs.Glob(root, tree.Dir()+"/modules.*")
	for _, name := range index {
		add(name)
	}
	return files, err
}
