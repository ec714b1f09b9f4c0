package main

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"time"

	"github.com/gokexec/gokexec/pkg/capture"
)

// localName is a gokexec that was built with the tag gokexec_local: it has nothing of the network, and is smaller.
const localName = "gokexec-local"

// localTimeout bounds the question for its version.
const localTimeout = 5 * time.Second

// chooseSmall takes the smaller gokexec as init, if it is installed beside this one or in ../lib/gokexec, and of the same
// version; and if the capture needs no network.
func (o *initramfsOptions) chooseSmall(ctx context.Context, settings *capture.Config) {
	if o.init != selfExecutable || len(settings.FenceKdump.Nodes) > 0 || slices.ContainsFunc(settings.Targets, capture.Target.Remote) {
		return
	}
	self, err := os.Executable()
	if err != nil {
		return
	}
	dir := filepath.Dir(self)
	for _, name := range []string{filepath.Join(dir, localName), filepath.Join(dir, "../lib/gokexec", localName)} {
		if info, err := os.Stat(name); err != nil || !info.Mode().IsRegular() {
			continue
		}
		if versionOf(ctx, name) == versionLine() {
			o.init = name
			return
		}
	}
}

// versionOf is what a gokexec says of its version; "" if it does not.
func versionOf(ctx context.Context, program string) string {
	ctx, cancel := context.WithTimeout(ctx, localTimeout)
	defer cancel()
	out, err := exec.CommandContext(ctx, program, "version").Output()
	if err != nil {
		return ""
	}
	return string(out)
}
