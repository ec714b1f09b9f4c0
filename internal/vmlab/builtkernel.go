package vmlab

import (
	"context"
	"crypto/sha256"
	"embed"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"
)

// builtSpec is a kernel that no package has: it is built of Debian's source.
type builtSpec struct {
	arch   string // GOARCH
	suite  string
	source string // the package
	// configs are the fragments, of kernelconfig, that its configuration is made of.
	configs []string
	signed  bool // the image is also kept signed, by a key that the kernel trusts
}

var builtSpecs = map[string]builtSpec{
	"built-diskkeys":  {"amd64", "trixie-backports", "linux-source", []string{"common", "amd64-diskkeys"}, false},
	"built-arm64":     {"arm64", "trixie", "linux-source-6.12", []string{"common", "arm64", "arm64-4k"}, true},
	"built-arm64-64k": {"arm64", "trixie-backports", "linux-source", []string{"common", "arm64", "arm64-64k"}, false},
	"built-s390x":     {"s390x", "trixie-backports", "linux-source", []string{"s390x"}, false},
	"built-riscv64":   {"riscv64", "trixie-backports", "linux-source", []string{"common", "riscv64"}, false},
}

//go:embed kernelconfig/*.config
var kernelConfigs embed.FS

// BuiltKernelNames lists the kernels that are built, which takes minutes each.
func BuiltKernelNames() []string { return sortedKeys(builtSpecs) }

// config is what the spec asks for, as Kconfig reads it.
func (s *builtSpec) config() ([]byte, error) {
	var all []byte
	for _, name := range s.configs {
		b, err := kernelConfigs.ReadFile("kernelconfig/" + name + ".config")
		if err != nil {
			return nil, err
		}
		all = append(all, b...)
	}
	return all, nil
}

// The files of a built kernel, next to its modules.
const (
	builtImage   = "Image" // whatever the architecture calls it
	builtSigned  = "Image.signed"
	builtELF     = "vmlinux"
	builtRelease = "release"
)

// getBuilt builds a kernel once, and keeps it in the cache.
func getBuilt(ctx context.Context, name string, spec builtSpec) (*Kernel, error) {
	c, err := openCache()
	if err != nil {
		return nil, err
	}
	source, err := GetPackage(ctx, spec.suite, spec.source, debianArch(runtime.GOARCH))
	if err != nil {
		return nil, err
	}
	tarball, err := onlyFile(source.Path("usr/src/linux-source-*.tar.xz"))
	if err != nil {
		return nil, err
	}
	config, err := spec.config()
	if err != nil {
		return nil, err
	}
	// One at a time: each takes all CPUs.
	unlock, err := c.lock(ctx, "built-kernel")
	if err != nil {
		return nil, err
	}
	defer unlock()
	sum := sha256.Sum256(config)
	root := c.path("kernels", "built", fmt.Sprintf("%s_%s_%x", name, strings.ReplaceAll(source.Version, ":", "%3a"), sum[:6]))
	err = unpackInto(root, func(tmp string) error {
		work, err := os.MkdirTemp(filepath.Dir(root), ".build-*")
		if err != nil {
			return err
		}
		defer os.RemoveAll(work)
		return buildKernel(ctx, &spec, config, tarball, work, tmp)
	})
	if err != nil {
		return nil, err
	}
	release, err := os.ReadFile(filepath.Join(root, builtRelease))
	if err != nil {
		return nil, err
	}
	k := &Kernel{Name: name, Arch: spec.arch, Version: source.Version, Release: strings.TrimSpace(string(release)),
		Image: filepath.Join(root, builtImage), ELF: filepath.Join(root, builtELF), ModulesRoot: root}
	if spec.signed {
		k.Signed = filepath.Join(root, builtSigned)
	}
	return k, nil
}

func onlyFile(pattern string) (string, error) {
	found, err := filepath.Glob(pattern)
	if err == nil && len(found) != 1 {
		err = fmt.Errorf("%s: %d files; want 1", pattern, len(found))
	}
	if err != nil {
		return "", err
	}
	return found[0], nil
}

// buildPatience bounds a build.
const buildPatience = 90 * time.Minute
