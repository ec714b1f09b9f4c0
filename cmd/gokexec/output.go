package main

import (
	"errors"
	"io"
	"os"
	"path/filepath"
)

// writeWhole writes a file beside the one it is to replace, and puts it there
// only when it is whole and on disk.
func writeWhole[T any](path string, write func(io.Writer) (T, error)) (T, error) {
	var zero T
	tmp, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*")
	if err != nil {
		return zero, err
	}
	v, err := write(tmp)
	if err == nil {
		err = tmp.Sync()
	}
	err = errors.Join(err, tmp.Close())
	if err == nil {
		err = os.Rename(tmp.Name(), path)
	}
	if err != nil {
		return zero, errors.Join(err, os.Remove(tmp.Name()))
	}
	return v, nil
}
