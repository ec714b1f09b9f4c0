package vmlab

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// GetDebugKernel returns the path of the vmlinux with debugging information of one of Debian's
// kernels, for crash(8) and drgn(1). It downloads a package of about 1 GB and keeps that one file.
func GetDebugKernel(ctx context.Context, k *Kernel) (string, error) {
	path, err := getDebugKernel(ctx, k)
	if err != nil {
		return "", fmt.Errorf("debugging information of kernel %s: %w", k.Release, err)
	}
	return path, nil
}

func getDebugKernel(ctx context.Context, k *Kernel) (string, error) {
	spec, ok := kernelSpecs[k.Name]
	if !ok {
		return "", fmt.Errorf("%s is none of Debian's", k.Name)
	}
	c, err := openCache()
	if err != nil {
		return "", err
	}
	unlock, err := c.lockApt(ctx, spec.suite, spec.debArch)
	if err != nil {
		return "", err
	}
	defer unlock()
	name := "linux-image-" + k.Release + "-dbg"
	want := filepath.Join("usr/lib/debug/boot", "vmlinux-"+k.Release)
	dir := filepath.Join("debug", spec.debArch, name)
	record, err := current(ctx, c, c.path("debug", k.Name+".json"), func(r recorded) bool { return r.Dir == dir }, func() (recorded, error) {
		return recorded{Dir: dir, Resolved: time.Now()}, unpackInto(c.path(dir), func(tmp string) error {
			return fetchDebugKernel(ctx, c, spec, name, want, tmp)
		})
	})
	if err != nil {
		return "", err
	}
	return c.path(record.Dir, want), nil
}

// fetchDebugKernel unpacks the file want of the newest version of a package into tmp.
func fetchDebugKernel(ctx context.Context, c cache, spec kernelSpec, name, want, tmp string) error {
	a, err := openApt(ctx, c, spec.suite, spec.debArch)
	if err != nil {
		return err
	}
	err = a.download(ctx, tmp, []string{name}, func(debs []string) error {
		for _, deb := range debs {
			if _, err := runTool(ctx, "", "sh", "-c", `set -e; dpkg-deb --fsys-tarfile "$1" | tar -x -C "$2" "./$3"`, "sh", deb, tmp, want); err != nil {
				return fmt.Errorf("unpack %s: %w", filepath.Base(deb), err)
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	_, err = os.Stat(filepath.Join(tmp, want))
	return err
}

// GetTestDebugKernel is GetDebugKernel for a test.
func GetTestDebugKernel(t testing.TB, k *Kernel) string {
	t.Helper()
	path, err := GetDebugKernel(t.Context(), k)
	if err != nil {
		unable(t, "%v", err)
	}
	return path
}
