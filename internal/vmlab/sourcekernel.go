package vmlab

import (
	"context"
	"crypto/sha256"
	_ "embed" // the configuration
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
)

// What the kernel is built of: Debian's source of its stable kernel.
const (
	sourceSuite   = "trixie"
	sourcePackage = "linux-source-6.12"
)

//go:embed arm64file.config
var arm64FileConfig []byte

// sourceTools are what the build runs, and Debian's packages of them.
var sourceTools = []struct{ program, pkg string }{
	{"aarch64-linux-gnu-gcc", "gcc-aarch64-linux-gnu"}, {"make", "make"}, {"gcc", "gcc"}, {"flex", "flex"}, {"bison", "bison"}, {"bc", "bc"}, {"xz", "xz-utils"},
}

// ARM64FileKernel is a small arm64 kernel with CONFIG_KEXEC_FILE, which Debian's
// have not. It is built of Debian's source once, and kept in the cache: some
// minutes on an idle machine.
func ARM64FileKernel(ctx context.Context) (*Kernel, error) {
	k, err := arm64FileKernel(ctx)
	if err != nil {
		return nil, fmt.Errorf("arm64 kernel with kexec_file_load: %w", err)
	}
	return k, nil
}

func arm64FileKernel(ctx context.Context) (*Kernel, error) {
	c, err := openCache()
	if err != nil {
		return nil, err
	}
	source, err := GetPackage(ctx, sourceSuite, sourcePackage, debianArch(runtime.GOARCH))
	if err != nil {
		return nil, err
	}
	unlock, err := c.lock(ctx, "source-kernel")
	if err != nil {
		return nil, err
	}
	defer unlock()
	sum := sha256.Sum256(arm64FileConfig)
	root := c.path("kernels", "built", fmt.Sprintf("arm64-file_%s_%x", source.Version, sum[:6]))
	err = unpackInto(root, func(tmp string) error {
		work, err := os.MkdirTemp(c.path("kernels"), ".build-*")
		if err != nil {
			return err
		}
		defer os.RemoveAll(work)
		return buildARM64(ctx, source.Path("usr/src/"+sourcePackage+".tar.xz"), work, tmp)
	})
	if err != nil {
		return nil, err
	}
	release, err := os.ReadFile(filepath.Join(root, "release"))
	if err != nil {
		return nil, err
	}
	return &Kernel{Name: "arm64-file", Arch: "arm64", Release: strings.TrimSpace(string(release)), Version: source.Version,
		Image: filepath.Join(root, "Image"), ModulesRoot: root}, nil
}

// buildARM64 unpacks and builds in work, and leaves in root the Image, its
// release, and the lists of modules: all are built in.
func buildARM64(ctx context.Context, tarball, work, root string) error {
	var missing []string
	for _, tool := range sourceTools {
		if _, err := exec.LookPath(tool.program); err != nil {
			missing = append(missing, tool.pkg)
		}
	}
	if len(missing) > 0 {
		return fmt.Errorf("missing tools; apt-get install %s", strings.Join(missing, " "))
	}
	if _, err := runTool(ctx, work, "tar", "-xJf", tarball, "--strip-components=1"); err != nil {
		return err
	}
	fragment := filepath.Join(work, "gokexec.config")
	if err := os.WriteFile(fragment, arm64FileConfig, 0o644); err != nil {
		return err
	}
	build := func(args ...string) (string, error) {
		return runTool(ctx, work, "make", append([]string{"-s", "ARCH=arm64", "CROSS_COMPILE=aarch64-linux-gnu-"}, args...)...)
	}
	if _, err := build("KCONFIG_ALLCONFIG="+fragment, "allnoconfig"); err != nil {
		return err
	}
	if err := checkConfig(filepath.Join(work, ".config")); err != nil {
		return err
	}
	if _, err := build(fmt.Sprintf("-j%d", runtime.NumCPU()), "Image"); err != nil {
		return err
	}
	release, err := build("kernelrelease")
	if err != nil {
		return err
	}
	return collectKernel(work, root, strings.TrimSpace(release))
}

// checkConfig finds what the configuration asks for and the build did not take.
func checkConfig(file string) error {
	got, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	for line := range strings.Lines(string(arm64FileConfig)) {
		if strings.HasPrefix(line, "CONFIG_") && !strings.Contains("\n"+string(got), "\n"+line) {
			return fmt.Errorf("%s is not in the kernel's configuration", strings.TrimSpace(line))
		}
	}
	return nil
}

func collectKernel(work, root, release string) error {
	dir := filepath.Join(root, "lib/modules", release)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	copyFile := func(from, to string) error {
		b, err := os.ReadFile(filepath.Join(work, from))
		if err != nil {
			return err
		}
		return os.WriteFile(to, b, 0o644)
	}
	return errors.Join(
		copyFile("arch/arm64/boot/Image", filepath.Join(root, "Image")),
		copyFile("modules.builtin", filepath.Join(dir, "modules.builtin")),
		copyFile("modules.builtin.modinfo", filepath.Join(dir, "modules.builtin.modinfo")),
		os.WriteFile(filepath.Join(dir, "modules.dep"), nil, 0o644),
		os.WriteFile(filepath.Join(root, "release"), []byte(release+"\n"), 0o644))
}
