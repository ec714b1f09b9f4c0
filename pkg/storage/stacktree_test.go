package storage

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"

	"github.com/gokexec/gokexec/internal/disktest"
	"github.com/gokexec/gokexec/pkg/stack"
)

// fakeMaps is device mapper of a bench.
type fakeMaps struct {
	tables, states map[string][]stack.Row
	opened, closed int
}

func (f *fakeMaps) Table(name string) ([]stack.Row, error) {
	rows, ok := f.tables[name]
	if !ok {
		return nil, syscall.ENXIO // drivers/md/dm-ioctl.c, find_device
	}
	return rows, nil
}

func (f *fakeMaps) Status(name string) ([]stack.Row, error) {
	rows, ok := f.states[name]
	if !ok {
		for _, r := range f.tables[name] {
			r.Args = "" // as linear has it
			rows = append(rows, r)
		}
	}
	return rows, nil
}

func (f *fakeMaps) Close() error {
	f.closed++
	return nil
}

// number is the device number of a device, MAJOR:MINOR.
func (b *bench) number(name string) string {
	b.t.Helper()
	text, err := os.ReadFile(filepath.Join(b.dir, "sys/class/block", name, "dev"))
	if err != nil {
		b.t.Fatal(err)
	}
	return strings.TrimSpace(string(text))
}

var devices = regexp.MustCompile(`\{[^}]+\}`)

// mapped adds the map dm-N: with a table of lines "START LENGTH TYPE ARGS" in which {sda2} is the number of sda2.
func (b *bench) mapped(n int, name, uuid string, table []string, content ...func([]byte)) {
	b.t.Helper()
	kernel := fmt.Sprintf("dm-%d", n)
	b.disk("virtual/block/"+kernel, content...)
	dir := "sys/devices/virtual/block/" + kernel
	b.file(dir+"/dm/name", name+"\n")
	b.file(dir+"/dm/uuid", uuid+"\n")
	b.link("dev/mapper/"+name, "../"+kernel)
	var rows []stack.Row
	for _, line := range table {
		for _, found := range devices.FindAllString(line, -1) {
			of := strings.Trim(found, "{}")
			line = strings.ReplaceAll(line, found, b.number(of))
			b.hold(of, kernel)
		}
		rows = append(rows, row(line))
	}
	if b.maps.tables == nil {
		b.maps.tables, b.maps.states = map[string][]stack.Row{}, map[string][]stack.Row{}
	}
	b.maps.tables[name] = rows
}

// state sets what a map's targets say of themselves.
func (b *bench) state(name string, lines ...string) {
	var rows []stack.Row
	for _, line := range lines {
		rows = append(rows, row(line))
	}
	b.maps.states[name] = rows
}

func row(line string) stack.Row {
	var r stack.Row
	fmt.Sscan(line, &r.Start, &r.Length, &r.Type)
	if fields := strings.SplitN(line, " ", 4); len(fields) == 4 {
		r.Args = fields[3]
	}
	return r
}

// hold makes a device a holder of another.
func (b *bench) hold(of, holder string) {
	b.t.Helper()
	b.file("sys/class/block/"+of+"/holders/"+holder, "")
}

// array adds an md array of members, each with a superblock of version 1.2.
func (b *bench) array(name, level string, members []string, content ...func([]byte)) {
	b.t.Helper()
	b.disk("virtual/block/"+name, content...)
	md := "sys/devices/virtual/block/" + name + "/md/"
	b.file(md+"metadata_version", "1.2\n")
	b.file(md+"level", level+"\n")
	b.file(md+"raid_disks", fmt.Sprintln(len(members)))
	b.file(md+"array_state", "active\n")
	b.file(md+"reshape_position", "none\n")
	b.file(md+"consistency_policy", "resync\n")
	b.file(md+"degraded", "0\n")
	for i, m := range members {
		b.file(md+"dev-"+m+"/slot", fmt.Sprintln(i))
		b.file(md+"dev-"+m+"/state", "in_sync\n")
		dir, err := os.Readlink(filepath.Join(b.dir, "sys/class/block", m))
		if err != nil {
			b.t.Fatal(err)
		}
		b.link(md+"dev-"+m+"/block", filepath.Join("../../../../../../..", strings.TrimPrefix(dir, "../../../")))
		b.hold(m, name)
	}
}

const arrayUUID = "aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee"

// superblock is that of device number i of an array (include/uapi/linux/raid/md_p.h, mdp_superblock_1).
func superblock(i byte) func([]byte) {
	id := disktest.UUIDBytes(arrayUUID)
	id[15] = i
	return disktest.ArrayMember(arrayUUID, id)
}

// pv is the label of an LVM physical volume without metadata.
func pv(c byte) func([]byte) { return disktest.PhysicalVolume(strings.Repeat(string(rune(c)), 32)) }

// pvs adds the partitions sda2, sda3 and so on, which are physical volumes.
func (b *bench) pvs(count int) {
	for i := range count {
		b.partition("sda", i+2, pv('a'+byte(i)))
	}
}
