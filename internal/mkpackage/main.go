// Command mkpackage makes a deb or an rpm of a staged tree. Equal trees give equal
// packages, on any system: neither dpkg nor rpm is needed.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// meta is what a package says of itself.
type meta struct {
	version, arch string
	summary       string
	description   []string // lines
	license, url  string
	maintainer    string
	built         time.Time
	conffiles     map[string]bool   // paths such as /etc/default/gokexec
	scripts       map[string]string // postinst, prerm, postrm
}

// name is the package's.
const name = "gokexec"

// replaced is the package whose place is taken, in a version with all that the
// commands have here.
const (
	replaced        = "kexec-tools"
	replacedVersion = "2.0.32"
)

func newMeta() meta {
	return meta{
		summary: "load crash kernels (kdump) and boot kernels (kexec), save dumps",
		description: []string{
			"gokexec loads the kernel that saves a crashed kernel's memory, keeps it accurate",
			"when memory or CPUs come and go, is that kernel's init, and builds its initramfs.",
			"It is one static binary, which takes the place of kexec-tools: it is installed as",
			"kexec and vmcore-dmesg too, for kdump-tools, kdump-utils and other scripts.",
		},
		license: "BSD-3-Clause", url: "https://github.com/gokexec/gokexec",
		maintainer: "gokexec maintainers <maintainers@gokexec.invalid>",
		conffiles:  map[string]bool{"/etc/default/gokexec": true},
		scripts:    map[string]string{},
	}
}

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "mkpackage:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	flags := flag.NewFlagSet("mkpackage", flag.ContinueOnError)
	format := flags.String("format", "deb", "deb or rpm")
	root := flags.String("root", "", "the staged tree")
	output := flags.String("o", "", "the file to write")
	version := flags.String("version", "", "of the package")
	arch := flags.String("arch", "", "as the distribution calls it")
	scripts := flags.String("scripts", "dist/package", "folder with postinst, prerm, postrm")
	epoch := flags.Int64("time", 0, "of all files, in seconds since 1970")
	if err := flags.Parse(args); err != nil {
		return err
	}
	m := newMeta()
	m.version, m.arch, m.built = *version, *arch, time.Unix(*epoch, 0).UTC()
	for _, s := range []string{"postinst", "prerm", "postrm"} {
		text, err := os.ReadFile(filepath.Join(*scripts, s))
		if err != nil {
			return err
		}
		m.scripts[s] = string(text)
	}
	files, err := readTree(*root)
	if err != nil {
		return err
	}
	write := map[string]func(io.Writer, meta, []file) error{"deb": writeDeb, "rpm": writeRPM}[*format]
	if write == nil || m.version == "" || m.arch == "" || *output == "" {
		return errors.New("give -format deb or rpm, -root, -version, -arch, -o")
	}
	out, err := os.Create(*output)
	if err != nil {
		return err
	}
	if err := errors.Join(write(out, m, files), out.Close()); err != nil {
		return errors.Join(err, os.Remove(*output))
	}
	return nil
}

// file is one of the tree: a folder, a regular file or a symbolic link.
type file struct {
	path    string // absolute in the package
	mode    os.FileMode
	content []byte
	link    string
}

// readTree lists a tree in the order of its paths, each folder before what it holds.
func readTree(root string) ([]file, error) {
	var files []file
	err := filepath.WalkDir(root, func(path string, d os.DirEntry, err error) error {
		if err != nil || path == root {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		f := file{path: strings.TrimPrefix(path, strings.TrimSuffix(root, "/")), mode: info.Mode()}
		switch {
		case f.mode.IsDir():
		case f.mode.IsRegular():
			f.content, err = os.ReadFile(path)
		case f.mode&os.ModeSymlink != 0:
			f.link, err = os.Readlink(path)
		default:
			err = fmt.Errorf("%s: neither folder, file nor link", path)
		}
		files = append(files, f)
		return err
	})
	if err == nil && len(files) == 0 {
		err = fmt.Errorf("%s is empty", root)
	}
	return files, err
}

// unixMode is the mode as inodes have it (stat(2)).
func (f *file) unixMode() uint32 {
	switch {
	case f.mode.IsDir():
		return 0o040000 | uint32(f.mode.Perm())
	case f.link != "":
		return 0o120777
	}
	return 0o100000 | uint32(f.mode.Perm())
}

// data is what the payload has of the file.
func (f *file) data() []byte {
	if f.link != "" {
		return []byte(f.link)
	}
	return f.content
}
