package main

import (
	"os"
	"path/filepath"
)

// daemonNote is a file that exists while a daemon runs; then the udev rule starts no
// processes.
type daemonNote string

func (d daemonNote) path() string { return filepath.Join(string(d), "daemon") }

func (d daemonNote) write(e *env) {
	err := os.MkdirAll(string(d), 0o700)
	if err == nil {
		err = os.WriteFile(d.path(), nil, 0o600)
	}
	if err != nil {
		e.reportEvent(false, "the udev rule won't know of this daemon: "+err.Error())
	}
}

func (d daemonNote) remove() { _ = os.Remove(d.path()) }
