package main

import (
	"io"
	"os"
	"path/filepath"

	"github.com/gokexec/gokexec/pkg/kcore"
)

// kcoreName is the memory of the running machine, as a source of a dump.
const kcoreName = "/proc/kcore"

// openSource opens a dump, or the memory of the running machine.
func (e *env) openSource(paths []string) (*dumpFile, error) {
	if len(paths) == 1 && filepath.Clean(paths[0]) == kcoreName {
		return e.openRunning()
	}
	return openDump(paths)
}

// openRunning opens the memory of the running machine.
func (e *env) openRunning() (*dumpFile, error) {
	m, err := kcore.OpenMemory(os.DirFS(e.sysroot))
	if err != nil {
		return nil, err
	}
	return &dumpFile{Dump: m, closers: []io.Closer{m}, live: true}, nil
}
