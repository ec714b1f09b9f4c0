package early

import (
	"os"
	"runtime"

	"github.com/gokexec/gokexec/internal/announce"
)

// release is set by the build:
// -ldflags "-X github.com/gokexec/gokexec/internal/early.release=v1.2.3".
var release string

func init() {
	if done(os.Args, announce.Default, os.Stdout) {
		os.Exit(0)
	}
}

// Release is the release that the build has set, "" if it has set none.
func Release() string { return release }

// Version names a release and what it was built with, as gokexec version prints it.
func Version(release string) string {
	return release + " (" + runtime.Version() + ", " + runtime.GOOS + "/" + runtime.GOARCH + ")"
}

// done tells whether the process has done what its command line asks for, and ends with exit code 0.
func done(argv []string, stateDir announce.Dir, stdout *os.File) bool {
	if len(argv) < 2 || base(argv[0]) != "gokexec" { // by another name it may be another program
		return false
	}
	switch argv[1] {
	case "version", "--version", "-V": // whatever follows
		if release == "" {
			return false
		}
		_, err := stdout.WriteString("gokexec " + Version(release) + "\n")
		return err == nil
	case "hotplug":
		// As the udev rule and the units call it.
		if len(argv) != 2 && (len(argv) != 4 || argv[2] != "--hand-over") {
			return false
		}
		coalesced, err := stateDir.Event()
		return coalesced && err == nil
	}
	return false
}

// base is filepath.Base for the path of a program. (That package is initialised later.)
func base(path string) string {
	for i := len(path) - 1; i >= 0; i-- {
		if path[i] == '/' {
			return path[i+1:]
		}
	}
	return path
}
