package capture

import (
	"errors"
	"io/fs"
	"path"
)

// rooted gives the paths in errors of an fs.FS rooted at / their slash back.
func rooted(err error) error {
	var pe *fs.PathError
	if errors.As(err, &pe) && !path.IsAbs(pe.Path) {
		return &fs.PathError{Op: pe.Op, Path: "/" + pe.Path, Err: pe.Err}
	}
	return err
}
