package imagetest

import (
	"bytes"
	"fmt"
	"io"
)

// CpioFile is a regular file of an initramfs: so many bytes, all zero.
type CpioFile struct {
	Name string
	Size int
}

// WriteCpio writes a newc cpio archive of the files in the order given, and its trailer
// (Documentation/driver-api/early-userspace/buffer-format.rst).
func WriteCpio(w io.Writer, files ...CpioFile) error {
	zeros := make([]byte, 64<<10)
	for _, f := range append(files, CpioFile{Name: "TRAILER!!!"}) {
		h := fmt.Sprintf("070701%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%s\x00",
			1, 0o100644, 0, 0, 1, 0, f.Size, 0, 0, 0, 0, len(f.Name)+1, 0, f.Name)
		if _, err := io.WriteString(w, h); err != nil {
			return err
		}
		for left := -len(h)&3 + f.Size + -f.Size&3; left > 0; left -= len(zeros) {
			if _, err := w.Write(zeros[:min(left, len(zeros))]); err != nil {
				return err
			}
		}
	}
	return nil
}

// Cpio is such an archive with files of one size.
func Cpio(size int, names ...string) []byte {
	var files []CpioFile
	for _, name := range names {
		files = append(files, CpioFile{name, size})
	}
	var b bytes.Buffer
	_ = WriteCpio(&b, files...) // a buffer takes all
	return b.Bytes()
}

// CpioWith is such an archive with one file of that content behind empty ones.
func CpioWith(name string, content []byte, empty ...string) []byte {
	var files []CpioFile
	for _, name := range empty {
		files = append(files, CpioFile{Name: name})
	}
	var b bytes.Buffer
	_ = WriteCpio(&b, append(files, CpioFile{name, len(content)})...)
	archive := b.Bytes()
	at := bytes.LastIndex(archive, []byte(name+"\x00")) + len(name) + 1
	copy(archive[(at+3)&^3:], content)
	return archive
}
