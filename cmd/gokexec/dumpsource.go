package main

import (
	"io"
	"os"
	"path/filepath"

	"github.com/gokexec/gokexec/pkg/kcore"
)

// kcoreName is the memory of the running machine, as a source of a dump.
const kcoreName = "/proc/kcore"

// openSource opens a dump, or the memory of the running machine. live tells that it is the latter.
func (e *env) openSource(paths []string) (d *dumpFile, live bool, err error) {
	if len(paths) != 1 || filepath.Clean(paths[0]) != kcoreName {
		d, err = openDump(paths)
		return d, false, err
	}
	m, err := kcore.OpenMemory(os.DirFS(e.sysroot))
	if err != nil {
		return nil, true, err
	}
	return &dumpFile{Dump: m, closers: []io.Closer{m}}, true, nil
}
