package capture

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/gokexec/gokexec/pkg/stack"
)

// fakeDevices is a device mapper whose maps are copies of what is below: it knows tables of one linear row.
type fakeDevices struct {
	*fakeMachine
	maps   []fakeMap
	status []stack.Row // of every map
}

type fakeMap struct {
	name   string
	number stack.Number
	table  []stack.Row
}

func (d *fakeDevices) find(name string) (*fakeMap, error) {
	for i := range d.maps {
		if d.maps[i].name == name {
			return &d.maps[i], nil
		}
	}
	return nil, fmt.Errorf("map %s: %w", name, syscall.ENXIO)
}

func (d *fakeDevices) Create(name, uuid string) (stack.Number, error) {
	d.call("Create")
	if _, err := d.find(name); err == nil {
		return stack.Number{}, fmt.Errorf("map %s: %w", name, syscall.EBUSY)
	}
	n := stack.Number{Major: 253, Minor: uint32(len(d.maps))}
	d.maps = append(d.maps, fakeMap{name: name, number: n})
	d.event("create %s %s", name, uuid)
	return n, nil
}

func (d *fakeDevices) Load(name string, _ bool, table []stack.Row) error {
	m, err := d.find(name)
	if err == nil {
		m.table = table
	}
	return err
}

// Resume makes the device.
func (d *fakeDevices) Resume(name string, _ bool) error {
	m, err := d.find(name)
	if err != nil {
		return err
	}
	var number string
	var offset int64
	if _, err := fmt.Sscan(m.table[0].Args, &number, &offset); err != nil || m.table[0].Type != "linear" {
		return fmt.Errorf("map %s: table %v: %w", name, m.table, syscall.EINVAL)
	}
	below, err := filepath.EvalSymlinks(d.path("/sys/dev/block/" + number))
	if err != nil {
		return err
	}
	content, err := os.ReadFile(d.path("/dev/" + filepath.Base(below)))
	if err != nil {
		return err
	}
	node := fmt.Sprintf("dm-%d", m.number.Minor)
	size := int64(m.table[0].Length) * 512
	content = content[offset*512 : offset*512+size]
	return errors.Join(
		os.WriteFile(d.path("/dev/"+node), content, 0o644),
		d.sysfs(node, size, m.number))
}

// sysfs makes the entry of a block device.
func (d *fakeMachine) sysfs(name string, size int64, n stack.Number) error {
	dir := d.path("/sys/class/block/" + name)
	return errors.Join(
		os.MkdirAll(filepath.Join(dir, "holders"), 0o755), os.MkdirAll(d.path("/sys/dev/block"), 0o755),
		os.WriteFile(filepath.Join(dir, "size"), []byte(fmt.Sprint(size/512)), 0o644),
		os.WriteFile(filepath.Join(dir, "dev"), []byte(n.String()+"\n"), 0o644),
		os.Symlink("../../class/block/"+name, d.path("/sys/dev/block/"+n.String())))
}

func (d *fakeDevices) Remove(name string) error {
	m, err := d.find(name)
	if err != nil {
		return err
	}
	d.event("remove %s", name)
	node := fmt.Sprintf("dm-%d", m.number.Minor)
	m.name = ""
	return errors.Join(os.Remove(d.path("/dev/"+node)), os.RemoveAll(d.path("/sys/class/block/"+node)), os.Remove(d.path("/sys/dev/block/"+m.number.String())))
}

func (d *fakeDevices) Table(name string) ([]stack.Row, error) {
	m, err := d.find(name)
	if err != nil {
		return nil, err
	}
	return m.table, nil
}

func (d *fakeDevices) Status(name string) ([]stack.Row, error) {
	if _, err := d.find(name); err != nil {
		return nil, err
	}
	return d.status, nil
}

func (d *fakeDevices) Mknod(name string, n stack.Number) error {
	return fmt.Errorf("mknod %s %s: %w", name, strings.TrimSpace(n.String()), syscall.EPERM)
}
