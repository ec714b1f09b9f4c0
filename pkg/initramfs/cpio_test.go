package initramfs

import (
	"bytes"
	"io/fs"
	"testing"

	"github.com/u-root/u-root/pkg/cpio" // what the writer is compared with
)

// FuzzCPIO: an archive is, byte for byte, what u-root's writer makes of its records.
func FuzzCPIO(f *testing.F) {
	f.Add("etc/x", []byte("content"), "target", uint64(0o4755))
	f.Add("a", []byte(nil), "b", uint64(0))
	f.Fuzz(func(t *testing.T, name string, content []byte, target string, mode uint64) {
		l := make(layout)
		if l.file(Bytes(name, 0o600, content)) != nil || l.file(File{Path: "link", Mode: fs.ModeSymlink, Target: target}) != nil ||
			l.dir("dir", mode&0o7777) != nil || l.char("dev/console", mode&0o777, 5, 1) != nil {
			return
		}
		var got bytes.Buffer
		if _, err := l.write(&got); err != nil {
			t.Fatal(err)
		}
		all, err := cpio.ReadAllRecords(cpio.Newc.Reader(bytes.NewReader(got.Bytes())))
		if err != nil {
			t.Fatal(err)
		}
		var want bytes.Buffer
		w := cpio.Newc.Writer(&want)
		for _, r := range all {
			if err := w.WriteRecord(r); err != nil {
				t.Fatal(err)
			}
		}
		if err := cpio.WriteTrailer(w); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got.Bytes(), want.Bytes()) {
			t.Errorf("%d bytes are not the %d of u-root:\n%q\n%q", got.Len(), want.Len(), got.Bytes(), want.Bytes())
		}
	})
}
