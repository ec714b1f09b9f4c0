package kdumpconf

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/gokexec/gokexec/internal/sysfs"
	"github.com/gokexec/gokexec/pkg/config"
)

// Imported is what was read.
type Imported struct {
	Distribution string   `json:"distribution"` // whose files: "Fedora", "Debian", "SUSE"
	Files        []string `json:"files"`
	// Settings are for gokexec.conf, in the order of its sections. Their Origin is the line that they come from.
	Settings []config.Setting `json:"settings"`
	// Crashkernel is a value of crashkernel= that was configured; "" for none.
	Crashkernel string      `json:"crashkernel,omitempty"`
	Unmatched   []Unmatched `json:"unmatched"`
}

// Unmatched is a directive without a counterpart.
type Unmatched struct {
	File      string `json:"file"`
	Line      int    `json:"line"` // from 1
	Directive string `json:"directive"`
	Value     string `json:"value,omitempty"`
	Reason    string `json:"reason"`
}

// String is a line for people: file, line, directive and reason.
func (u Unmatched) String() string {
	return fmt.Sprintf("%s:%d: %s: %s", u.File, u.Line, u.Directive, u.Reason)
}

// ErrNothing is wrapped when there is no configuration to import.
var ErrNothing = errors.New("no kdump is configured on this machine")

// maxFile bounds a file, in bytes; those that are shipped have some KiB.
const maxFile = 256 << 10

// source is a kind of configuration: a row of the table.
type source struct {
	distribution string
	files        []file
	directives   func() []directive
	finish       func(in *importer) // what several directives decide together
}

// file is one file of a source, and how it is read.
type file struct {
	name string // in the tree
	read func(text string) []assignment
}

func sources() []source {
	return []source{
		{"Fedora", []file{{"etc/kdump.conf", readDirectives}, {"etc/sysconfig/kdump", readShell}}, fedoraDirectives, finishFedora},
		{"Debian", []file{{"etc/default/kdump-tools", readShell}}, debianDirectives, finishDebian},
		{"SUSE", []file{{"etc/sysconfig/kdump", readShell}}, suseDirectives, finishSUSE},
	}
}

// Read reads the configuration under root. The first of kdump.conf, kdump-tools and SUSE's that is there counts; an
// error wraps ErrNothing if none is.
func Read(root fs.FS) (*Imported, error) {
	for _, src := range sources() {
		if _, err := fs.Stat(root, src.files[0].name); errors.Is(err, fs.ErrNotExist) {
			continue
		}
		in := &importer{root: root, out: &Imported{Distribution: src.distribution, Settings: []config.Setting{}, Unmatched: []Unmatched{}}, values: map[string]assigned{}}
		if err := in.read(src); err != nil {
			return nil, err
		}
		in.sort()
		return in.out, nil
	}
	return nil, fmt.Errorf("%w: none of /etc/kdump.conf, /etc/default/kdump-tools and /etc/sysconfig/kdump is there", ErrNothing)
}

// directive is a row of a distribution's table.
type directive struct {
	names []string
	// apply makes settings of a value; nil: it is only noted, for finish. "" as a reason: nothing is lost.
	apply func(in *importer, a assigned) (reason string)
	list  bool // may be given several times
}

// assigned is an assignment with its file.
type assigned struct {
	assignment
	file string // absolute
}

func (a assigned) origin() string { return fmt.Sprintf("%s:%d", a.file, a.line) }

type importer struct {
	root   fs.FS
	out    *Imported
	values map[string]assigned // by name, the last ones
}

func (in *importer) read(src source) error {
	table := src.directives()
	for _, f := range src.files {
		text, err := sysfs.ReadFile(in.root, f.name, maxFile)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		name := "/" + f.name
		in.out.Files = append(in.out.Files, name)
		in.assign(table, name, f.read(string(text)))
	}
	src.finish(in)
	return nil
}

// assign applies the assignments of a file: of several of a name the last, unless the directive is a list.
func (in *importer) assign(table []directive, name string, list []assignment) {
	last := map[string]int{}
	for i, a := range list {
		last[a.name] = i
	}
	for i, a := range list {
		at := assigned{a, name}
		row := slices.IndexFunc(table, func(d directive) bool { return slices.Contains(d.names, a.name) })
		switch {
		case a.bad != "":
			in.unmatched(at, a.bad)
			continue
		case row < 0:
			in.unmatched(at, "not known")
			continue
		case last[a.name] != i && !table[row].list:
			in.unmatched(at, fmt.Sprintf("given again in line %d, which counts", list[last[a.name]].line))
			continue
		}
		in.values[a.name] = at
		if table[row].apply == nil {
			continue
		}
		if reason := table[row].apply(in, at); reason != "" {
			in.unmatched(at, reason)
		}
	}
}

func (in *importer) unmatched(a assigned, reason string) {
	in.out.Unmatched = append(in.out.Unmatched, Unmatched{a.file, a.line, short(a.name), short(a.value), reason})
}

// set adds a setting. One that can't be written into the file is not matched.
func (in *importer) set(section, key, value string, from assigned) {
	s := config.Setting{Section: section, Key: key, Value: strings.ReplaceAll(value, "\n", " "), Origin: from.origin()}
	if _, err := config.Format([]config.Setting{s}, ""); err != nil {
		in.unmatched(from, "it can't be written into gokexec.conf: "+err.Error())
		return
	}
	in.out.Settings = append(in.out.Settings, s)
}

// text is the value of a directive that was given, trimmed.
func (in *importer) text(name string) (string, assigned) {
	a := in.values[name]
	return strings.TrimSpace(a.value), a
}

// sections is the order in which settings are written.
var sections = []string{sectionKernel, sectionCapture, sectionRemote, sectionHooks, sectionInitramfs}

// Sections of gokexec.conf.
const (
	sectionKernel    = "Kernel"
	sectionCapture   = "Capture"
	sectionRemote    = "Remote"
	sectionHooks     = "Hooks"
	sectionInitramfs = "Initramfs"
)

// sort puts the settings of a section together, and orders the unmatched by their files and lines.
func (in *importer) sort() {
	slices.SortStableFunc(in.out.Settings, func(a, b config.Setting) int {
		return slices.Index(sections, a.Section) - slices.Index(sections, b.Section)
	})
	slices.SortStableFunc(in.out.Unmatched, func(a, b Unmatched) int {
		if a.File != b.File {
			return slices.Index(in.out.Files, a.File) - slices.Index(in.out.Files, b.File)
		}
		return a.Line - b.Line
	})
}

// hooks adds the programs in a directory of kdump's, as it runs them: those that may be executed, by name.
func (in *importer) hooks(dir, key string) {
	entries, _ := fs.ReadDir(in.root, dir) // not there: none
	for _, entry := range entries {
		info, err := fs.Stat(in.root, path.Join(dir, entry.Name()))
		if err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0 {
			name := "/" + path.Join(dir, entry.Name())
			in.set(sectionHooks, key, name, assigned{assignment{name: key, value: name, line: 1}, "/" + dir})
		}
	}
}
