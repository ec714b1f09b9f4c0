package vmlab

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"
)

// Kernel is a kernel on this machine, unpacked.
type Kernel struct {
	Name        string // of the table, or "custom"
	Arch        string // GOARCH
	Release     string // uname -r
	Image       string // path of vmlinuz
	ModulesRoot string // has lib/modules/Release in it; empty if there are no modules
	Version     string // Debian's package version, empty for a custom one

	// Of kernels built by the laboratory (BuiltKernelNames) only:
	ELF    string // path of vmlinux, without symbols
	Signed string // path of an Image with a signature that this kernel trusts; may be empty
}

// ConsoleArg names the console that the laboratory keeps on a kernel's command line.
func (k *Kernel) ConsoleArg() string { return "console=" + machineSpecs[k.Arch].console }

// kernelSpec is a row of the table: where Debian has it.
type kernelSpec struct {
	arch, debArch string
	suite         string
	meta          string // the metapackage, which names the newest kernel
}

var kernelSpecs = map[string]kernelSpec{
	"bullseye-cloud":    {"amd64", "amd64", "bullseye", "linux-image-cloud-amd64"},
	"bookworm-cloud":    {"amd64", "amd64", "bookworm", "linux-image-cloud-amd64"},
	"bookworm-generic":  {"amd64", "amd64", "bookworm", "linux-image-amd64"},
	"trixie-cloud":      {"amd64", "amd64", "trixie", "linux-image-cloud-amd64"},
	"trixie-generic":    {"amd64", "amd64", "trixie", "linux-image-amd64"},
	"backports-cloud":   {"amd64", "amd64", "trixie-backports", "linux-image-cloud-amd64"},
	"backports-generic": {"amd64", "amd64", "trixie-backports", "linux-image-amd64"},
	"sid-cloud":         {"amd64", "amd64", "sid", "linux-image-cloud-amd64"},
	"trixie-arm64":      {"arm64", "arm64", "trixie", "linux-image-cloud-arm64"},
	"trixie-arm64-16k":  {"arm64", "arm64", "trixie", "linux-image-arm64-16k"},
	"backports-arm64":   {"arm64", "arm64", "trixie-backports", "linux-image-cloud-arm64"},
	"trixie-riscv64":    {"riscv64", "riscv64", "trixie", "linux-image-riscv64"},
	"sid-riscv64":       {"riscv64", "riscv64", "sid", "linux-image-riscv64"},
	"sid-loong64":       {"loong64", "loong64", "sid", "linux-image-loong64"},
	"sid-ppc64le":       {"ppc64le", "ppc64el", "sid", "linux-image-powerpc64le"},
	"sid-ppc64le-64k":   {"ppc64le", "ppc64el", "sid", "linux-image-powerpc64le-64k"},
	"trixie-ppc64le":    {"ppc64le", "ppc64el", "trixie", "linux-image-powerpc64le"},
	"trixie-s390x":      {"s390x", "s390x", "trixie", "linux-image-s390x"},
}

// KernelNames lists Debian's kernels, sorted.
func KernelNames() []string { return sortedKeys(kernelSpecs) }

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

// kernelRecord remembers which package set a name stood for.
type kernelRecord struct {
	Packages []string `json:"packages"` // name=version
	Version  string   `json:"version"`
	recorded
}

// resolved keeps a process with the kernels it began with.
var resolved sync.Map // name -> *Kernel

// GetKernel returns the kernel of that name, downloading it when it isn't in
// the cache yet. The metapackage is followed at most once a day (or at once
// with GOKEXEC_VM_REFRESH=1), and never twice in one process. One of
// BuiltKernelNames is built. "custom" is what GOKEXEC_VM_KERNEL names.
func GetKernel(ctx context.Context, name string) (*Kernel, error) {
	if name == customName {
		return customKernel()
	}
	if k, ok := resolved.Load(name); ok {
		return k.(*Kernel), nil
	}
	k, err := getKernel(ctx, name)
	if err != nil {
		return nil, fmt.Errorf("kernel %s: %w", name, err)
	}
	resolved.Store(name, k)
	return k, nil
}

func getKernel(ctx context.Context, name string) (*Kernel, error) {
	if spec, ok := builtSpecs[name]; ok {
		return getBuilt(ctx, name, spec)
	}
	spec, ok := kernelSpecs[name]
	if !ok {
		return nil, fmt.Errorf("not one of %s", strings.Join(append(KernelNames(), BuiltKernelNames()...), ", "))
	}
	c, err := openCache()
	if err != nil {
		return nil, err
	}
	unlock, err := c.lock(ctx, "kernel-"+name)
	if err != nil {
		return nil, err
	}
	defer unlock()
	record, err := current(ctx, c, c.path("kernels", name+".json"), nil, func() (kernelRecord, error) { return fetchKernel(ctx, c, spec) })
	if err != nil {
		return nil, err
	}
	k, err := findKernel(c.path(record.Dir))
	if err != nil {
		return nil, err
	}
	k.Name, k.Arch, k.Version = name, spec.arch, record.Version
	return k, nil
}

// fetchKernel resolves the metapackage and unpacks what it stands for.
func fetchKernel(ctx context.Context, c cache, spec kernelSpec) (kernelRecord, error) {
	// Before the lock: depmod may have to come from the same suite.
	depmod, err := depmodCommand(ctx)
	if err != nil {
		return kernelRecord{}, err
	}
	var record kernelRecord
	err = withApt(ctx, c, spec.suite, spec.debArch, func(a *apt) error {
		record, err = a.unpackKernel(ctx, c, spec, depmod)
		return err
	})
	return record, err
}

// unpackKernel gets those packages into the cache, with the lists of modules that depmod makes.
func (a *apt) unpackKernel(ctx context.Context, c cache, spec kernelSpec, depmod []string) (kernelRecord, error) {
	packages, err := resolveKernel(spec.meta, func(name string) (map[string]string, error) {
		return a.candidate(ctx, name)
	})
	if err != nil {
		return kernelRecord{}, err
	}
	record := kernelRecord{recorded: recorded{Resolved: time.Now()}}
	for _, p := range packages {
		record.Packages = append(record.Packages, p.name+"="+p.version)
	}
	record.Version = packages[0].version
	record.Dir = filepath.Join("kernels", spec.debArch,
		strings.ReplaceAll(packages[0].name+"_"+packages[0].version, ":", "%3a"))
	err = unpackInto(c.path(record.Dir), func(tmp string) error {
		if err := a.download(ctx, tmp, record.Packages, func(debs []string) error { return unpack(ctx, debs, tmp) }); err != nil {
			return err
		}
		return prepareModules(ctx, tmp, depmod)
	})
	return record, err
}

// KernelPackages downloads the .deb files of a kernel of that name, and the linux-base of its suite,
// into a directory, for a guest that installs them itself.
func KernelPackages(ctx context.Context, name, dir string) ([]string, error) {
	k, err := GetKernel(ctx, name)
	if err != nil {
		return nil, err
	}
	c, err := openCache()
	if err != nil {
		return nil, err
	}
	spec := kernelSpecs[name]
	var record kernelRecord
	if spec.meta == "" || !readRecord(c.path("kernels", name+".json"), &record) {
		return nil, fmt.Errorf("kernel %s (%s) is of no package", name, k.Release)
	}
	var files []string
	keep := func(debs []string) error {
		for _, deb := range debs {
			file := filepath.Join(dir, filepath.Base(deb))
			if err := os.Rename(deb, file); err != nil {
				return err
			}
			files = append(files, file)
		}
		return nil
	}
	err = withApt(ctx, c, spec.suite, spec.debArch, func(a *apt) error {
		return a.download(ctx, filepath.Join(dir, "debs"), append(slices.Clone(record.Packages), "linux-base"), keep)
	})
	return files, err
}

// pkg is a package at a version.
type pkg struct{ name, version string }

// A kernel's own packages. linux-image-* is the kernel up to 6.x; in 7.x it is
// empty and linux-binary-* and linux-modules-* have the content.
var kernelPackage = regexp.MustCompile(`^linux-(image|binary|modules|base)-[0-9]`)

var kernelMetaPackage = regexp.MustCompile(`^linux-(image|binary|modules|base)-`)

// resolveKernel follows a metapackage to the concrete packages of one kernel:
// the image first, then what it needs of its own kind.
func resolveKernel(meta string, candidate func(name string) (map[string]string, error)) ([]pkg, error) {
	var packages []pkg
	seen := map[string]bool{}
	queue := []string{meta}
	for len(queue) > 0 {
		name := queue[0]
		queue = queue[1:]
		if seen[name] {
			continue
		}
		seen[name] = true
		fields, err := candidate(name)
		if err != nil {
			return nil, err
		}
		if kernelPackage.MatchString(name) {
			packages = append(packages, pkg{name, fields["version"]})
		}
		for _, field := range []string{"pre-depends", "depends"} {
			for _, dep := range dependencies(fields[field]) {
				if kernelMetaPackage.MatchString(dep) {
					queue = append(queue, dep)
				}
			}
		}
	}
	if len(packages) == 0 {
		return nil, fmt.Errorf("%s names no kernel package", meta)
	}
	slices.SortStableFunc(packages, func(a, b pkg) int {
		return rank(a.name) - rank(b.name)
	})
	return packages, nil
}

func rank(name string) int {
	if strings.HasPrefix(name, "linux-image-") {
		return 0
	}
	return 1
}

// dependencies returns the first alternative of each relation of a Depends
// field (deb-control(5)), without version and architecture.
func dependencies(field string) []string {
	var names []string
	for relation := range strings.SplitSeq(field, ",") {
		first, _, _ := strings.Cut(relation, "|")
		if i := strings.IndexAny(first, "(["); i >= 0 {
			first = first[:i]
		}
		first, _, _ = strings.Cut(strings.TrimSpace(first), ":")
		if first != "" {
			names = append(names, first)
		}
	}
	return names
}

// prepareModules gives an unpacked kernel what its package's installation
// would: modules.dep, and a lib that is usr/lib.
func prepareModules(ctx context.Context, root string, depmod []string) error {
	k, err := findKernel(root)
	if err != nil || k.ModulesRoot == "" {
		return err
	}
	if _, err := os.Stat(filepath.Join(root, "lib")); errors.Is(err, os.ErrNotExist) {
		if err := os.Symlink("usr/lib", filepath.Join(root, "lib")); err != nil {
			return err
		}
	}
	args := append(slices.Clone(depmod[1:]), "-b", root, k.Release)
	_, err = runTool(ctx, "", depmod[0], args...)
	return err
}

// depmodCommand is the machine's own depmod, or Debian's out of its package.
func depmodCommand(ctx context.Context) ([]string, error) {
	if depmod, err := lookTool("depmod"); err == nil {
		return []string{depmod}, nil
	}
	p, err := GetPackage(ctx, "bookworm", "kmod", debianArch(runtime.GOARCH))
	if err != nil {
		return nil, err
	}
	// usr/sbin/depmod is a link to bin/kmod, which goes by its name.
	program, err := p.HostProgram("usr/sbin/depmod")
	return program.Argv, err
}

// lookTool finds a program, in sbin too.
func lookTool(name string) (string, error) {
	path, err := exec.LookPath(name)
	if err == nil {
		return path, nil
	}
	for _, dir := range []string{"/usr/sbin", "/sbin", "/usr/local/sbin"} {
		if path, err := exec.LookPath(filepath.Join(dir, name)); err == nil {
			return path, nil
		}
	}
	return "", err
}

// findKernel finds image and modules in an unpacked tree, in either layout:
// boot/vmlinuz-VERSION, or usr/lib/modules/VERSION/vmlinuz.
func findKernel(root string) (*Kernel, error) {
	var images []string
	for _, pattern := range []string{"boot/vmlinuz-*", "boot/vmlinux-*", "usr/lib/modules/*/vmlinuz", "usr/lib/modules/*/vmlinux", "lib/modules/*/vmlinuz"} {
		found, err := filepath.Glob(filepath.Join(root, pattern))
		if err != nil {
			return nil, err
		}
		if images = append(images, found...); len(images) > 0 {
			break
		}
	}
	if len(images) != 1 {
		return nil, fmt.Errorf("%s has %d kernel images; want 1", root, len(images))
	}
	k := &Kernel{Image: images[0]}
	base := filepath.Base(images[0])
	if _, release, ok := strings.Cut(base, "-"); ok {
		k.Release = release
	} else {
		k.Release = filepath.Base(filepath.Dir(images[0]))
	}
	for _, dir := range []string{"usr/lib/modules", "lib/modules"} {
		if _, err := os.Stat(filepath.Join(root, dir, k.Release)); err == nil {
			k.ModulesRoot = root
		}
	}
	return k, nil
}
