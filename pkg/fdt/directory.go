package fdt

import (
	"fmt"
	"io"
	"io/fs"
	"path"
)

// maxDirectory bounds what ReadDirectory reads, in bytes of names and values:
// the largest tree that arm64 takes has 2 MiB.
const maxDirectory = 16 << 20

// ReadDirectory reads the tree that the kernel shows as directories and files
// (/sys/firmware/devicetree/base; Documentation/ABI/testing/
// sysfs-firmware-ofw). It has no memory reservation block.
func ReadDirectory(root fs.FS, dir string) (*Tree, error) {
	d := &directory{root: root, left: maxDirectory}
	n, err := d.node(dir, "", 0)
	if err != nil {
		return nil, err
	}
	return &Tree{Root: n}, nil
}

type directory struct {
	root fs.FS
	left int
}

func (d *directory) node(dir, name string, depth int) (*Node, error) {
	if depth == MaxDepth {
		return nil, invalid("/%s: nodes nested deeper than %d", dir, MaxDepth)
	}
	entries, err := fs.ReadDir(d.root, dir) // sorted: equal trees, equal bytes
	if err != nil {
		return nil, err
	}
	n := &Node{Name: name}
	for _, e := range entries {
		file := path.Join(dir, e.Name())
		if e.IsDir() {
			c, err := d.node(file, e.Name(), depth+1)
			if err != nil {
				return nil, err
			}
			n.Children = append(n.Children, c)
			continue
		}
		// The kernel makes up the name, as the Open Firmware standard had it.
		if e.Name() == "name" || !e.Type().IsRegular() {
			continue
		}
		v, err := d.value(file)
		if err != nil {
			return nil, err
		}
		n.Properties = append(n.Properties, Property{e.Name(), v})
	}
	return n, nil
}

func (d *directory) value(file string) ([]byte, error) {
	f, err := d.root.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	v, err := io.ReadAll(io.LimitReader(f, int64(d.left)+1))
	if err != nil {
		return nil, fmt.Errorf("/%s: %w", file, err)
	}
	if d.left -= len(v) + len(file); d.left < 0 {
		return nil, invalid("/%s: the tree has over %d bytes", file, maxDirectory)
	}
	return v, nil
}
