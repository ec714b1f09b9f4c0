package storage

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/gokexec/gokexec/pkg/blkid"
	"github.com/gokexec/gokexec/pkg/capture"
	"github.com/gokexec/gokexec/pkg/stack"
)

// graph is a machine without files, of invented devices: sysfs in memory, and disks that are all alike.
type graph struct {
	capture.Files
	sysfs fstest.MapFS
}

func (g *graph) FS() fs.FS { return g.sysfs }

func (g *graph) OpenFile(string, int, fs.FileMode) (capture.File, error) {
	return memberFile{Reader: member()}, nil
}

// memberFile is a member of an array.
type memberFile struct {
	capture.File
	*bytes.Reader
}

func (f memberFile) ReadAt(b []byte, offset int64) (int, error) { return f.Reader.ReadAt(b, offset) }
func (f memberFile) Write([]byte) (int, error)                  { return 0, fs.ErrPermission }
func (f memberFile) Size() (int64, error)                       { return f.Reader.Size(), nil }
func (f memberFile) Close() error                               { return nil }

func member() *bytes.Reader {
	disk := make([]byte, 16<<10)
	superblock(1)(disk)
	return bytes.NewReader(disk)
}

// invent makes a machine of a text, one line a device: "disk", "map TYPE ARGS...", "array MEMBER..." or "part N"; devices are
// called by their numbers, counting from 0, and may name later ones and themselves.
func invent(text string) (*Machine, *fakeMaps, []block) {
	g := &graph{sysfs: fstest.MapFS{}}
	maps := &fakeMaps{tables: map[string][]stack.Row{}, states: map[string][]stack.Row{}}
	file := func(name, content string) { g.sysfs[name] = &fstest.MapFile{Data: []byte(content)} }
	link := func(name, to string) {
		g.sysfs[name] = &fstest.MapFile{Data: []byte(to), Mode: fs.ModeSymlink}
	}
	var blocks []block
	for n, line := range strings.Split(text, "\n") {
		if n == 24 {
			break
		}
		words := strings.Fields(line)
		if len(words) == 0 {
			words = []string{"disk"}
		}
		name := "d" + strconv.Itoa(n)
		dir := "sys/devices/pci0/block/" + name
		if words[0] == "part" {
			dir = "sys/devices/pci0/block/d" + strings.Trim(strings.Join(words[1:min(2, len(words))], ""), "/.") + "/" + name
			file(dir+"/partition", "1")
		}
		file(dir+"/size", "2048")
		file(dir+"/dev", fmt.Sprintf("8:%d", n))
		link("sys/class/block/"+name, "../../../"+dir)
		link(fmt.Sprintf("sys/dev/block/8:%d", n), "../../../"+dir)
		for _, word := range words[1:] {
			if of, err := strconv.Atoi(strings.TrimPrefix(word, "8:")); err == nil {
				file(fmt.Sprintf("sys/devices/pci0/block/d%d/holders/%s", of, name), "")
			}
		}
		switch words[0] {
		case "map":
			file(dir+"/dm/name", "m"+name)
			file(dir+"/dm/uuid", "LVM-"+name)
			if len(words) > 1 {
				// The state is behind a bar.
				args, state, _ := strings.Cut(strings.Join(words[2:], " "), " |")
				maps.tables["m"+name] = []stack.Row{{Length: 2048, Type: words[1], Args: args}}
				maps.states["m"+name] = []stack.Row{{Length: 2048, Type: words[1], Args: strings.TrimSpace(state)}}
			}
		case "array":
			file(dir+"/md/metadata_version", "1.2")
			file(dir+"/md/level", "raid1")
			file(dir+"/md/raid_disks", "2")
			for _, word := range words[1:] {
				member := "d" + strings.Trim(word, "/.")
				file(dir+"/md/dev-"+strings.ReplaceAll(member, "/", "_")+"/state", "in_sync")
				link(dir+"/md/dev-"+strings.ReplaceAll(member, "/", "_")+"/block", "../../../"+strings.ReplaceAll(member, "/", "_"))
			}
		}
		blocks = append(blocks, block{name: name, dir: dir, disk: name})
	}
	m := New(Options{Root: "/", Maps: func() (Maps, error) { return maps, nil }})
	m.sys = g
	m.finder = &blkid.Finder{Root: g.sysfs, Probe: func(context.Context, string) (blkid.Contents, error) {
		return blkid.Probe(member(), member().Size())
	}}
	return m, maps, blocks
}

// FuzzStack: of whatever devices, a description is made that is valid, in which a device is made of earlier ones, and all
// snapshots of what is written to are there; or there is none. A walk ends.
func FuzzStack(f *testing.F) {
	f.Add("disk\nmap linear 8:0 0")
	f.Add("disk\ndisk\nmap linear 8:0 0\nmap linear 8:1 0\nmap snapshot 8:2 8:3 P 8 | 16/32\nmap snapshot-origin 8:2")
	f.Add("map linear 8:1 0\nmap linear 8:0 0")
	f.Add("map linear 8:0 0")
	f.Add("disk\ndisk\narray 0 1\npart 2\nmap linear 8:3 1")
	f.Add("disk\ndisk\nmap raid raid1 3 0 region_size 1024 2 8:0 8:1 8:0 8:1")
	f.Add("disk\nmap crypt aes 00112233 0 8:0 0\nmap linear 8:1 0")
	f.Add("disk\nmap multipath 0 0 1 1 service-time 0 1 1 8:0 1")
	f.Add("array 0\narray 0 1")
	f.Fuzz(func(t *testing.T, text string) {
		m, maps, blocks := invent(text)
		for _, b := range blocks {
			w := m.walk(t.Context())
			if b, err := m.block(b.name); err == nil {
				checkWalk(t, w, maps, b)
			}
			w.close()
		}
	})
}

func checkWalk(t *testing.T, w *walk, maps *fakeMaps, b block) {
	t.Helper()
	at, err := w.down(b)
	if err != nil {
		return
	}
	w.tops = []stack.Top{{Layer: at}}
	s, err := w.record()
	if err != nil {
		var refusal *Refusal
		if !errors.As(err, &refusal) {
			t.Errorf("%s: %v; want a refusal", b.name, err)
		}
		return
	}
	if err := s.Validate(); err != nil {
		t.Fatalf("%s: %v", b.name, err)
	}
	if name := s.Layers[s.Tops[0].Layer].Name; name != b.name {
		t.Errorf("the top is %s; want %s", name, b.name)
	}
	there := map[string]bool{}
	for _, l := range s.Layers {
		if there[l.Name] {
			t.Errorf("%s is there twice", l.Name)
		}
		there[l.Name] = true
	}
	for name, rows := range maps.tables {
		for _, r := range rows {
			number, ok := strings.CutPrefix(firstWord(r.Args), "8:")
			if ok && r.Type == "snapshot" && there["d"+number] && !there[strings.TrimPrefix(name, "m")] && firstWord(maps.states[name][0].Args) != "Invalid" {
				t.Errorf("%s without its snapshot %s", "d"+number, name)
			}
		}
	}
}

// The invented machines are such that some can be described.
func TestInvented(t *testing.T) {
	for text, want := range map[string]int{
		"disk\nmap linear 8:0 0": 2,
		"disk\ndisk\nmap linear 8:0 0\nmap linear 8:1 0\nmap snapshot 8:2 8:3 P 8 | 16/32\nmap snapshot-origin 8:2": 6,
		"disk\ndisk\narray 0 1\npart 2\nmap linear 8:3 1":                                                           5,
	} {
		m, _, blocks := invent(text)
		b, err := m.block(blocks[len(blocks)-1].name)
		if err != nil {
			t.Fatal(err)
		}
		w := m.walk(t.Context())
		at, err := w.down(b)
		if err != nil {
			t.Fatal(err)
		}
		w.tops = []stack.Top{{Layer: at}}
		if s, err := w.record(); err != nil || len(s.Layers) != want {
			t.Errorf("%q: %+v, %v; want %d layers", text, s, err, want)
		}
	}
}
