package main

import (
	"bytes"
	"compress/gzip"
	"crypto/md5"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/u-root/u-root/pkg/cpio"
)

// makePackage makes one of a small tree.
func makePackage(t *testing.T, format, arch string) (path, root string) {
	t.Helper()
	dir := t.TempDir()
	root = filepath.Join(dir, "root")
	for name, text := range map[string]string{
		"usr/sbin/gokexec": "binary", "etc/default/gokexec": "# options\n",
		"usr/lib/gokexec/gokexec-capture": "#!/bin/sh\n", "usr/share/doc/gokexec/LICENSE": "BSD",
		"usr/share/man/man8/gokexec.8.gz": "man",
	} {
		file := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chmod(filepath.Join(root, "usr/sbin/gokexec"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("gokexec", filepath.Join(root, "usr/sbin/kexec")); err != nil {
		t.Fatal(err)
	}
	path = filepath.Join(dir, "package."+format)
	args := []string{"-format", format, "-root", root, "-version", "1.2~rc1", "-arch", arch, "-time", "1700000000",
		"-scripts", "../../dist/package", "-o", path}
	var packages [2][]byte
	for i := range packages {
		err := run(args)
		if err != nil {
			t.Fatal(err)
		}
		if packages[i], err = os.ReadFile(path); err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.Equal(packages[0], packages[1]) {
		t.Errorf("two packages of one tree differ")
	}
	return path, root
}

func tool(t *testing.T, name string, args ...string) string {
	t.Helper()
	program, err := exec.LookPath(name)
	if err != nil {
		if os.Getenv("GOKEXEC_VM_REQUIRED") == "1" {
			t.Fatal(err)
		}
		t.Skipf("SKIPPED: %v", err)
	}
	out, err := exec.Command(program, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %q: %v: %s", name, args, err, out)
	}
	return string(out)
}

func TestDeb(t *testing.T) {
	path, root := makePackage(t, "deb", "arm64")
	control := tool(t, "dpkg-deb", "-f", path)
	for _, want := range []string{"Package: gokexec\n", "Version: 1.2~rc1\n", "Architecture: arm64\n",
		"Provides: kexec-tools (= 1:2.0.32)\n", "Conflicts: kexec-tools\n", "Replaces: kexec-tools\n", "Installed-Size: 5\n"} {
		if !strings.Contains(control, want) {
			t.Errorf("control lacks %q:\n%s", want, control)
		}
	}
	if got := tool(t, "dpkg-deb", "-I", path, "conffiles"); got != "/etc/default/gokexec\n" {
		t.Errorf("conffiles = %q", got)
	}
	list := tool(t, "dpkg-deb", "-c", path)
	for _, want := range []string{"-rwxr-xr-x root/root", "./usr/sbin/kexec -> gokexec", "drwxr-xr-x root/root         0 2023-11-14 "} {
		if !strings.Contains(list, want) {
			t.Errorf("the list of files lacks %q:\n%s", want, list)
		}
	}
	into := t.TempDir()
	tool(t, "dpkg-deb", "-R", path, into)
	for _, script := range []string{"postinst", "prerm", "postrm"} {
		if info, err := os.Stat(filepath.Join(into, "DEBIAN", script)); err != nil || info.Mode().Perm() != 0o755 {
			t.Errorf("%s: %v, %v", script, info, err)
		}
	}
	sums, err := os.ReadFile(filepath.Join(into, "DEBIAN/md5sums"))
	if want := fmt.Sprintf("%x  usr/sbin/gokexec\n", md5.Sum([]byte("binary"))); err != nil || !strings.Contains(string(sums), want) {
		t.Errorf("md5sums = %q, %v; want %q in it", sums, err, want)
	}
	tool(t, "diff", "-r", "--exclude=DEBIAN", root, into)
}

// The rpm by a reader of its own: sections, digests, regions, and the payload.
func TestRPM(t *testing.T) {
	path, _ := makePackage(t, "rpm", "x86_64")
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.HasPrefix(b, []byte{0xed, 0xab, 0xee, 0xdb, 3, 0}) || string(b[10:32]) != "gokexec-1.2~rc1-1\x00\x00\x00\x00\x00" {
		t.Errorf("lead = %q", b[:96])
	}
	signature, end := parseRPMHeader(t, b[96:], 62)
	at := 96 + (end+7)&^7
	header, end := parseRPMHeader(t, b[at:], 63)
	payload := b[at+end:]
	text := func(section map[uint32][]byte, tag uint32) string {
		s, _, _ := strings.Cut(string(section[tag]), "\x00")
		return s
	}
	if got, want := text(signature, 273), fmt.Sprintf("%x", sha256.Sum256(b[at:at+end])); got != want {
		t.Errorf("digest of the header = %s; want %s", got, want)
	}
	if got, want := signature[1004], md5.Sum(b[at:]); !bytes.Equal(got[:16], want[:]) {
		t.Errorf("MD5 of header and payload = %x; want %x", got[:16], want)
	}
	if got := binary.BigEndian.Uint32(signature[1000]); int(got) != len(b)-at {
		t.Errorf("size = %d; want %d", got, len(b)-at)
	}
	if got, want := text(header, 5092), fmt.Sprintf("%x", sha256.Sum256(payload)); got != want {
		t.Errorf("digest of the payload = %s; want %s", got, want)
	}
	for tag, want := range map[uint32]string{1000: "gokexec", 1001: "1.2~rc1", 1002: "1", 1022: "x86_64", 1021: "linux", 1086: "/bin/sh"} {
		if got := text(header, tag); got != want {
			t.Errorf("tag %d = %q; want %q", tag, got, want)
		}
	}
	if got := string(header[1047]); !strings.HasPrefix(got, "gokexec\x00kexec-tools\x00") {
		t.Errorf("provides %q", got)
	}
	z, err := gzip.NewReader(bytes.NewReader(payload))
	if err != nil {
		t.Fatal(err)
	}
	archive, err := io.ReadAll(z)
	if err != nil || binary.BigEndian.Uint32(signature[1007]) != uint32(len(archive)) {
		t.Errorf("the payload has %d bytes, %v; the signature says %d", len(archive), err, binary.BigEndian.Uint32(signature[1007]))
	}
	records, err := cpio.ReadAllRecords(cpio.Newc.Reader(bytes.NewReader(archive)))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, r := range records {
		names = append(names, r.Name)
	}
	want := "etc/default/gokexec usr/lib/gokexec usr/lib/gokexec/gokexec-capture usr/sbin/gokexec usr/sbin/kexec usr/share/doc/gokexec usr/share/doc/gokexec/LICENSE usr/share/man/man8/gokexec.8.gz"
	if got := strings.ReplaceAll(strings.Join(names, " "), "./", ""); got != want {
		t.Errorf("the payload holds %q; want %q", got, want)
	}
}

// rpm itself, where it is installed.
func TestRPMByRPM(t *testing.T) {
	if _, err := exec.LookPath("rpm"); err != nil {
		t.Skipf("SKIPPED: %v", err)
	}
	path, _ := makePackage(t, "rpm", "x86_64")
	if got := tool(t, "rpm", "-qp", "--provides", "--conflicts", path); !strings.Contains(got, "kexec-tools = 2.0.32") {
		t.Errorf("rpm says it provides %q", got)
	}
	if got := tool(t, "rpm", "-qplv", path); !strings.Contains(got, "/usr/sbin/kexec -> gokexec") {
		t.Errorf("rpm lists %q", got)
	}
	if got := tool(t, "rpm", "-K", "--nosignature", path); !strings.Contains(strings.ToLower(got), "ok") {
		t.Errorf("rpm -K says %q", got)
	}
}

// parseRPMHeader returns the data behind each tag, and where the section ends.
func parseRPMHeader(t *testing.T, b []byte, region uint32) (map[uint32][]byte, int) {
	t.Helper()
	if !bytes.HasPrefix(b, []byte{0x8e, 0xad, 0xe8, 1, 0, 0, 0, 0}) {
		t.Fatalf("no header but %x", b[:16])
	}
	u32 := func(at int) uint32 { return binary.BigEndian.Uint32(b[at:]) }
	count, size := int(u32(8)), int(u32(12))
	store := b[16+16*count:][:size]
	tags := map[uint32][]byte{}
	last := uint32(0)
	for i := range count {
		tag, kind, offset := u32(16+16*i), u32(20+16*i), int(u32(24+16*i))
		if align := map[uint32]int{3: 2, 4: 4}[kind]; align != 0 && offset%align != 0 {
			t.Errorf("tag %d of type %d at %d", tag, kind, offset)
		}
		if i > 0 && tag <= last {
			t.Errorf("tag %d follows %d", tag, last)
		}
		tags[tag] = store[offset:]
		if i > 0 {
			last = tag
		}
	}
	trailer := store[size-16:]
	if u32(16) != region || binary.BigEndian.Uint32(trailer) != region || int32(binary.BigEndian.Uint32(trailer[8:])) != int32(-16*count) {
		t.Errorf("region %d: first entry %d, trailer %x of %d entries", region, u32(16), trailer, count)
	}
	return tags, 16 + 16*count + size
}
