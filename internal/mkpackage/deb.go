package main

import (
	"archive/tar"
	"bytes"
	"crypto/md5"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"

	"github.com/ulikunitz/xz"
)

// writeDeb writes a Debian package (deb(5)): an ar archive of a version, the control
// files and the tree.
func writeDeb(w io.Writer, m meta, files []file) error {
	control, err := tarXZ(m, m.debControl(files))
	if err != nil {
		return err
	}
	data, err := tarXZ(m, files)
	if err != nil {
		return err
	}
	if _, err := io.WriteString(w, "!<arch>\n"); err != nil {
		return err
	}
	for _, member := range []struct {
		name string
		data []byte
	}{{"debian-binary", []byte("2.0\n")}, {"control.tar.xz", control}, {"data.tar.xz", data}} {
		_, err := fmt.Fprintf(w, "%-16s%-12d%-6d%-6d%-8s%-10d`\n", member.name, m.built.Unix(), 0, 0, "100644", len(member.data))
		if err != nil {
			return err
		}
		if len(member.data)%2 != 0 {
			member.data = append(member.data, '\n')
		}
		if _, err := w.Write(member.data); err != nil {
			return err
		}
	}
	return nil
}

// debControl are the control files (deb-control(5)).
func (m *meta) debControl(files []file) []file {
	var sums, conffiles bytes.Buffer
	blocks := 0
	for _, f := range files {
		if f.link != "" || f.mode.IsDir() {
			continue
		}
		blocks += (len(f.content) + 1023) / 1024
		if m.conffiles[f.path] {
			fmt.Fprintln(&conffiles, f.path)
		} else {
			fmt.Fprintf(&sums, "%x  %s\n", md5.Sum(f.content), f.path[1:])
		}
	}
	control := strings.Join([]string{
		"Package: " + name,
		"Version: " + m.version,
		"Architecture: " + m.arch,
		"Maintainer: " + m.maintainer,
		fmt.Sprintf("Installed-Size: %d", blocks),
		// Debian's kexec-tools has the epoch 1.
		fmt.Sprintf("Provides: %s (= 1:%s)", replaced, replacedVersion),
		"Conflicts: " + replaced,
		"Replaces: " + replaced,
		"Suggests: kdump-tools, makedumpfile",
		"Section: admin",
		"Priority: optional",
		"Homepage: " + m.url,
		"Description: " + m.summary,
		" " + strings.Join(m.description, "\n "),
	}, "\n") + "\n"
	return []file{
		{path: "/conffiles", mode: 0o644, content: conffiles.Bytes()},
		{path: "/control", mode: 0o644, content: []byte(control)},
		{path: "/md5sums", mode: 0o644, content: sums.Bytes()},
		{path: "/postinst", mode: 0o755, content: []byte(m.scripts["postinst"])},
		{path: "/postrm", mode: 0o755, content: []byte(m.scripts["postrm"])},
		{path: "/prerm", mode: 0o755, content: []byte(m.scripts["prerm"])},
	}
}

func tarXZ(m meta, files []file) ([]byte, error) {
	var packed bytes.Buffer
	x, err := xz.WriterConfig{CheckSum: xz.CRC32}.NewWriter(&packed)
	if err != nil {
		return nil, err
	}
	t := tar.NewWriter(x)
	files = append([]file{{path: "/", mode: fs.ModeDir | 0o755}}, files...)
	for _, f := range files {
		h := &tar.Header{Name: "." + f.path, Mode: int64(f.mode.Perm()), ModTime: m.built, Uname: "root", Gname: "root", Format: tar.FormatGNU}
		switch {
		case f.mode.IsDir():
			h.Typeflag, h.Name = tar.TypeDir, strings.TrimSuffix(h.Name, "/")+"/"
		case f.link != "":
			h.Typeflag, h.Linkname, h.Mode = tar.TypeSymlink, f.link, 0o777
		default:
			h.Typeflag, h.Size = tar.TypeReg, int64(len(f.content))
		}
		if err := t.WriteHeader(h); err != nil {
			return nil, err
		}
		if _, err := t.Write(f.content); err != nil {
			return nil, err
		}
	}
	err = errors.Join(t.Close(), x.Close()) // before the bytes are taken
	return packed.Bytes(), err
}
