package vmlab

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// moduleTools are what a kernel's headers need to build a module, in addition to the compiler, which they depend on.
// The mawk is Debian's awk, by a link that only the scripts of packages would make.
var moduleTools = []string{"make", "dash", "coreutils", "sed", "grep", "mawk", "findutils", "diffutils", "binutils"}

// BuildModule builds a kernel module of one's own for one of Debian's kernels, with that kernel's headers and the
// compiler that they name, in a root of its own. dir has the sources and a Kbuild file with obj-m. It returns the
// path of the .ko, which stays in the cache until sources or kernel change.
func BuildModule(ctx context.Context, k *Kernel, dir string) (string, error) {
	ko, err := buildModule(ctx, k, dir)
	if err != nil {
		return "", fmt.Errorf("module %s for kernel %s: %w", dir, k.Release, err)
	}
	return ko, nil
}

// TestModule is BuildModule for a test.
func TestModule(t testing.TB, k *Kernel, dir string) string {
	t.Helper()
	ko, err := BuildModule(t.Context(), k, dir)
	if err != nil {
		unable(t, "%v", err)
	}
	return ko
}

func buildModule(ctx context.Context, k *Kernel, dir string) (string, error) {
	spec, ok := kernelSpecs[k.Name]
	if !ok {
		return "", errors.New("modules are built for Debian's kernels only")
	}
	if _, foreign := crossCompilers[spec.arch]; spec.arch != "amd64" && !foreign {
		return "", fmt.Errorf("modules are not built for %s", spec.arch)
	}
	sources, words, err := moduleSources(dir)
	if err != nil {
		return "", err
	}
	c, err := openCache()
	if err != nil {
		return "", err
	}
	key := hash(words...)
	unlock, err := c.lock(ctx, "module-"+k.Release+"-"+key)
	if err != nil {
		return "", err
	}
	defer unlock()
	built := c.path("modules", k.Release+"_"+k.Version, key)
	err = unpackInto(built, func(tmp string) error {
		root, err := os.MkdirTemp(filepath.Dir(built), ".root-*")
		if err != nil {
			return err
		}
		defer os.RemoveAll(root)
		if err := fillBuildRoot(ctx, c, k, spec, root); err != nil {
			return err
		}
		for name, text := range sources {
			if err := os.WriteFile(filepath.Join(root, "src", name), text, 0o644); err != nil {
				return err
			}
		}
		var args []string
		if spec.arch != "amd64" {
			args = toolchains[spec.arch].variables()
		}
		if err := makeModule(ctx, root, k.Release, args...); err != nil {
			return err
		}
		ko, err := onlyFile(filepath.Join(root, "src/*.ko"))
		if err != nil {
			return err
		}
		return os.Rename(ko, filepath.Join(tmp, filepath.Base(ko)))
	})
	if err != nil {
		return "", err
	}
	return onlyFile(filepath.Join(built, "*.ko"))
}

// crossCompilers are the packages of compilers for kernels of other architectures, by GOARCH: those of Debian 13, by which
// its kernels are built.
var crossCompilers = map[string]string{"arm64": "gcc-14-aarch64-linux-gnu"}

// moduleSources reads the files of a module, and makes words that change with them.
func moduleSources(dir string) (map[string][]byte, []string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, nil, err
	}
	sources, words := map[string][]byte{}, []string(nil)
	for _, e := range entries {
		if e.Name() != "Kbuild" && filepath.Ext(e.Name()) != ".c" && filepath.Ext(e.Name()) != ".S" {
			continue
		}
		text, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			return nil, nil, err
		}
		sources[e.Name()] = text
		words = append(words, e.Name(), string(text))
	}
	if sources["Kbuild"] == nil {
		return nil, nil, fmt.Errorf("no Kbuild in %s", dir)
	}
	return sources, words, nil
}

// fillBuildRoot unpacks the kernel's headers, a compiler, and what else a build runs.
func fillBuildRoot(ctx context.Context, c cache, k *Kernel, spec kernelSpec, root string) error {
	headers := "linux-headers-" + k.Release + "=" + k.Version
	tools := append(slices.Clone(moduleTools), headers)
	compiler, foreign := crossCompilers[spec.arch]
	if foreign {
		// All but the headers is this machine's: scripts, compiler, and what is for every architecture.
		base := k.Release[:strings.LastIndex(k.Release, "-")]
		base = strings.TrimSuffix(base, "-cloud")
		tools = append(slices.Clone(moduleTools), compiler, "linux-kbuild-"+base, "linux-headers-"+base+"-common")
	}
	err := withApt(ctx, c, spec.suite, "amd64", func(a *apt) error { return a.unpackAll(ctx, root, tools...) })
	if err == nil && foreign {
		err = withApt(ctx, c, spec.suite, spec.debArch, func(a *apt) error {
			return a.download(ctx, root, []string{headers}, func(debs []string) error { return unpackMerged(ctx, debs, root) })
		})
	}
	if err != nil {
		return err
	}
	return finishBuildRoot(root)
}

// finishBuildRoot gives an unpacked tree the links that scripts of packages would, and places to build in.
func finishBuildRoot(root string) error {
	for _, dir := range []string{"dev", "proc", "tmp", "src"} {
		if err := os.MkdirAll(filepath.Join(root, dir), 0o755); err != nil {
			return err
		}
	}
	for link, target := range map[string]string{"bin/sh": "dash", "usr/bin/awk": "mawk"} {
		if err := os.Symlink(target, filepath.Join(root, link)); err != nil && !errors.Is(err, os.ErrExist) {
			return err
		}
	}
	return nil
}

// makeModule runs the kernel's build in that root: its programs need their own C library.
func makeModule(ctx context.Context, root, release string, variables ...string) error {
	if _, err := exec.LookPath("unshare"); err != nil {
		return err
	}
	args := []string{"--mount"}
	if os.Geteuid() != 0 {
		args = append(args, "--map-root-user")
	}
	const script = `set -e
mount --rbind /dev "$1/dev"
mount --rbind /proc "$1/proc"
export PATH=/usr/bin:/bin:/usr/sbin HOME=/tmp
root=$1
build=/usr/src/linux-headers-$2
shift 2
exec chroot "$root" make -s -C "$build" M=/src "$@" modules`
	args = append(args, "sh", "-c", script, "sh", root, release)
	out, err := runTool(ctx, root, "unshare", append(args, variables...)...)
	if err != nil {
		return fmt.Errorf("%w\n%s", err, strings.TrimSpace(tail(out, 20)))
	}
	return nil
}
