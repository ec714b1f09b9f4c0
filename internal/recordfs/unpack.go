package recordfs

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
)

// Unpack writes the files of an archive of WriteTar's into a directory. Names that
// lead out of it are refused.
func Unpack(r io.Reader, dir string) error {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	for archive := tar.NewReader(r); ; {
		h, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		switch name := strings.TrimSuffix(h.Name, "/"); h.Typeflag {
		case tar.TypeDir:
			err = root.MkdirAll(name, 0o755)
		case tar.TypeReg:
			var b []byte
			if b, err = io.ReadAll(archive); err == nil {
				err = root.WriteFile(name, b, 0o644)
			}
		default:
			err = fmt.Errorf("%s: neither a file nor a directory, but of type %q", h.Name, h.Typeflag)
		}
		if err != nil {
			return err
		}
	}
}
