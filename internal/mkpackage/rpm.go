package main

import (
	"bytes"
	"compress/gzip"
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"
)

// The flags of relations between packages, and of files.
const (
	rpmLess    = 1 << 1
	rpmEqual   = 1 << 3
	rpmFeature = 1 << 24 // what rpm itself has to know

	rpmConfig    = 1 << 0
	rpmDoc       = 1 << 1
	rpmNoReplace = 1 << 4
	rpmLicense   = 1 << 7

	rpmSHA256 = 8 // the number of the digest's algorithm (RFC 4880, 9.4)
)

// rpmRelease counts packagings of one version.
const rpmRelease = "1"

// writeRPM writes an rpm, format 4: a lead, a signature with digests, the header and a
// gzipped cpio archive (https://rpm-software-management.github.io/rpm/manual/format_v4.html).
func writeRPM(w io.Writer, m meta, files []file) error {
	files = owned(files)
	payload, size, err := rpmPayload(m, files)
	if err != nil {
		return err
	}
	h := &rpmHeader{}
	m.describe(h, files)
	m.relate(h)
	rpmFiles(h, m, files)
	digest := sha256.Sum256(payload)
	h.texts(5092, []string{fmt.Sprintf("%x", digest)}) // PAYLOADSHA256
	h.int32s(5093, rpmSHA256)                          // PAYLOADSHA256ALGO
	header := h.encode(63)                             // HEADERIMMUTABLE

	both := md5.New()
	both.Write(header)
	both.Write(payload)
	s := &rpmHeader{}
	s.text(269, fmt.Sprintf("%x", sha1.Sum(header)))      // SHA1HEADER
	s.text(273, fmt.Sprintf("%x", sha256.Sum256(header))) // SHA256HEADER
	s.int32s(1000, uint32(len(header)+len(payload)))      // SIGSIZE
	s.bin(1004, both.Sum(nil))                            // SIGMD5
	s.int32s(1007, uint32(size))                          // PAYLOADSIZE
	signature := s.encode(62)                             // HEADERSIGNATURES
	for len(signature)%8 != 0 {
		signature = append(signature, 0)
	}
	_, err = w.Write(bytes.Join([][]byte{m.rpmLead(), signature, header, payload}, nil))
	return err
}

// rpmLead is what remains of format 3, for file(1).
func (m *meta) rpmLead() []byte {
	b := make([]byte, 96)
	copy(b, []byte{0xed, 0xab, 0xee, 0xdb, 3, 0, 0, 0, 0, 1})
	copy(b[10:75], name+"-"+m.version+"-"+rpmRelease)
	b[77], b[79] = 1, 5 // Linux; a signature in header style
	return b
}

// owned leaves out the folders that belong to the system.
func owned(files []file) []file {
	var kept []file
	for _, f := range files {
		if !f.mode.IsDir() || strings.Contains(path.Base(f.path), name) {
			kept = append(kept, f)
		}
	}
	return kept
}

// describe adds what the package is.
func (m *meta) describe(h *rpmHeader, files []file) {
	total := 0
	for _, f := range files {
		total += len(f.data())
	}
	h.texts(100, []string{"C"}) // HEADERI18NTABLE
	h.text(1000, name)
	h.text(1001, m.version)
	h.text(1002, rpmRelease)
	h.i18n(1004, m.summary)
	h.i18n(1005, strings.Join(m.description, "\n"))
	h.int32s(1006, uint32(m.built.Unix()))
	h.text(1007, "localhost") // BUILDHOST
	h.int32s(1009, uint32(total))
	h.text(1014, m.license)
	h.i18n(1016, "System Environment/Base")
	h.text(1020, m.url)
	h.text(1021, "linux")
	h.text(1022, m.arch)
	for _, s := range []struct {
		script, program rpmTag
		name            string
	}{{1024, 1086, "postinst"}, {1025, 1087, "prerm"}, {1026, 1088, "postrm"}} {
		h.text(s.script, m.scripts[s.name])
		h.text(s.program, "/bin/sh")
	}
	h.text(1044, name+"-"+m.version+"-"+rpmRelease+".src.rpm") // SOURCERPM: this is a binary package
	h.text(1124, "cpio")
	h.text(1125, "gzip")
	h.text(1126, "9")
	h.text(5062, "utf-8")
}

// relate adds what the package provides, requires and conflicts with.
func (m *meta) relate(h *rpmHeader) {
	version := m.version + "-" + rpmRelease
	h.texts(1047, []string{name, replaced})
	h.int32s(1112, rpmEqual, rpmEqual)
	h.texts(1113, []string{version, replacedVersion})

	names, versions, flags := []string{"/bin/sh"}, []string{""}, []uint32{0}
	for _, feature := range [][2]string{{"CompressedFileNames", "3.0.4-1"}, {"FileDigests", "4.6.0-1"},
		{"PayloadFilesHavePrefix", "4.0-1"}, {"TildeInVersions", "4.10.0-1"}} {
		names, versions = append(names, "rpmlib("+feature[0]+")"), append(versions, feature[1])
		flags = append(flags, rpmLess|rpmEqual|rpmFeature)
	}
	h.int32s(1048, flags...)
	h.texts(1049, names)
	h.texts(1050, versions)

	// A package does not conflict with what it provides itself.
	h.int32s(1053, 0)
	h.texts(1054, []string{replaced})
	h.texts(1055, []string{""})
}

// rpmFiles adds the list of files, as arrays.
func rpmFiles(h *rpmHeader, m meta, files []file) {
	var sizes, times, flags, verify, devices, inodes, dirIndexes []uint32
	var modes, rdevs []uint16
	var digests, links, users, langs, bases, dirs []string
	known := map[string]uint32{}
	for i, f := range files {
		dir, base := path.Split(f.path)
		if _, ok := known[dir]; !ok {
			known[dir] = uint32(len(dirs))
			dirs = append(dirs, dir)
		}
		digest, flag := "", uint32(0)
		if f.mode.IsRegular() {
			digest = fmt.Sprintf("%x", sha256.Sum256(f.content))
		}
		switch {
		case m.conffiles[f.path]:
			flag = rpmConfig | rpmNoReplace
		case base == "LICENSE":
			flag = rpmLicense
		case strings.HasPrefix(f.path, "/usr/share/doc/") || strings.HasPrefix(f.path, "/usr/share/man/"):
			flag = rpmDoc
		}
		size := uint32(len(f.data()))
		if f.mode.IsDir() {
			size = 4096
		}
		sizes, times, flags = append(sizes, size), append(times, uint32(m.built.Unix())), append(flags, flag)
		verify, devices, inodes = append(verify, 0xffffffff), append(devices, 1), append(inodes, uint32(i+1))
		dirIndexes, modes, rdevs = append(dirIndexes, known[dir]), append(modes, uint16(f.unixMode())), append(rdevs, 0)
		digests, links = append(digests, digest), append(links, f.link)
		users, langs, bases = append(users, "root"), append(langs, ""), append(bases, base)
	}
	h.int32s(1028, sizes...)
	h.int16s(1030, modes...)
	h.int16s(1033, rdevs...)
	h.int32s(1034, times...)
	h.texts(1035, digests)
	h.texts(1036, links)
	h.int32s(1037, flags...)
	h.texts(1039, users)
	h.texts(1040, users)
	h.int32s(1045, verify...)
	h.int32s(1095, devices...)
	h.int32s(1096, inodes...)
	h.texts(1097, langs)
	h.int32s(1116, dirIndexes...)
	h.texts(1117, bases)
	h.texts(1118, dirs)
	h.int32s(5011, rpmSHA256) // FILEDIGESTALGO
}

// rpmPayload is a cpio archive (newc, cpio(5)), compressed; size is of the archive.
func rpmPayload(m meta, files []file) (packed []byte, size int, err error) {
	var archive bytes.Buffer
	record := func(name string, mode, ino, links, mtime uint32, data []byte) {
		fmt.Fprintf(&archive, "070701%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x", ino, mode, 0, 0, links, mtime, len(data), 0, 1, 0, 0, len(name)+1, 0)
		archive.WriteString(name + "\x00")
		pad(&archive)
		archive.Write(data)
		pad(&archive)
	}
	for i, f := range files {
		links := uint32(1)
		if f.mode.IsDir() {
			links = 2
		}
		record("."+f.path, f.unixMode(), uint32(i+1), links, uint32(m.built.Unix()), f.data())
	}
	record("TRAILER!!!", 0, 0, 1, 0, nil)
	var b bytes.Buffer
	z, err := gzip.NewWriterLevel(&b, gzip.BestCompression)
	if err != nil {
		return nil, 0, err
	}
	_, err = z.Write(archive.Bytes())
	err = errors.Join(err, z.Close())
	return b.Bytes(), archive.Len(), err
}

func pad(b *bytes.Buffer) {
	for b.Len()%4 != 0 {
		b.WriteByte(0)
	}
}
