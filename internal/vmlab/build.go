package vmlab

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

const (
	modulePath   = "github.com/gokexec/gokexec"
	agentPackage = modulePath + "/internal/vmlab/agent"
)

type builtBinary struct {
	once sync.Once
	path string
	err  error
}

// built keeps a process with the binaries it began with.
var built sync.Map // package and GOARCH -> *builtBinary

// Build builds a main package of this module ("./cmd/gokexec", or an import
// path) as a static binary for a guest, once per process, and returns its host
// path. The go command's own cache makes further processes fast.
func Build(ctx context.Context, pkg, goarch string) (string, error) {
	if rest, ok := strings.CutPrefix(pkg, "./"); ok {
		pkg = modulePath + "/" + rest
	}
	entry, _ := built.LoadOrStore(pkg+" "+goarch, &builtBinary{})
	b := entry.(*builtBinary)
	b.once.Do(func() {
		if b.path, b.err = build(ctx, pkg, goarch); b.err != nil {
			b.err = fmt.Errorf("build %s for %s: %w", pkg, goarch, b.err)
		}
	})
	return b.path, b.err
}

func build(ctx context.Context, pkg, goarch string) (string, error) {
	c, err := openCache()
	if err != nil {
		return "", err
	}
	dir := c.path("bin", goarch)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	tmp, err := os.MkdirTemp(dir, ".build-*")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(tmp)
	out := filepath.Join(tmp, "out")
	// As a release is built: gokexec version does not need all of gokexec for that.
	flags := "-ldflags=-s -w -X " + modulePath + "/internal/early.release=vmlab"
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", flags, "-o", out, pkg)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH="+goarch)
	if said, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("%w: %s", err, tail(string(said), 20))
	}
	content, err := os.ReadFile(out)
	if err != nil {
		return "", err
	}
	// By its content: an older process keeps the binary it has.
	sum := sha256.Sum256(content)
	name := path.Base(pkg)
	final := filepath.Join(dir, name+"-"+hex.EncodeToString(sum[:8]))
	if err := os.Rename(out, final); err != nil {
		return "", err
	}
	return final, pruneOlder(dir, name+"-*", final)
}

// pruneOlder removes builds that no process can still use.
func pruneOlder(dir, pattern, keep string) error {
	names, err := filepath.Glob(filepath.Join(dir, pattern))
	if err != nil {
		return err
	}
	for _, name := range names {
		info, err := os.Stat(name)
		if err == nil && name != keep && time.Since(info.ModTime()) > freshFor {
			_ = os.Remove(name) // another process may have been faster
		}
	}
	return nil
}
