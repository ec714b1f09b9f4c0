package capture

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"
	"syscall"
)

// mkdirAll makes the directories below root on the way to dir. A symbolic link
// on the way is refused: in an initramfs it would lead out of the filesystem,
// and the dump into memory.
func mkdirAll(sys Files, root, dir string, perm fs.FileMode) error {
	rest := strings.Trim(strings.TrimPrefix(dir, root), "/")
	if rest == "" {
		return nil
	}
	at := root
	for name := range strings.SplitSeq(rest, "/") {
		at = path.Join(at, name)
		info, err := sys.Lstat(at)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			if err := sys.Mkdir(at, perm); err != nil && !errors.Is(err, fs.ErrExist) {
				return err
			}
		case err != nil:
			return err
		case info.Mode()&fs.ModeSymlink != 0 && root != "/":
			return fmt.Errorf("/%s is a symbolic link; name the directory it leads to", strings.Trim(strings.TrimPrefix(at, root), "/"))
		case !info.IsDir() && info.Mode()&fs.ModeSymlink == 0:
			return fmt.Errorf("%s: %w", at, syscall.ENOTDIR)
		}
	}
	return nil
}
