package arch

import (
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/gokexec/gokexec/"

// layers lists the packages of the product, lowest first. A package may import
// those of lower layers only.
func layers() [][]string {
	return [][]string{
		{"pkg/kexec", "pkg/oops", "internal/sysfs", "internal/mapread", "internal/purgatory", "internal/recordfs", "internal/rootfs", "internal/uname", "internal/keyring", "internal/printed", "internal/getopt", "internal/decompress", "internal/lzo", "internal/pagepack", "pkg/fdt", "internal/announce", "pkg/advice", "pkg/cmdline"},
		{"internal/early", "pkg/statedir", "pkg/memmap", "pkg/config", "pkg/blkid", "pkg/kconfig", "internal/kexecsys", "pkg/network"},
		{"pkg/remote", "pkg/dumpdir"},
		{"pkg/store", "pkg/seal"},
		{"pkg/fleet"},
		{"pkg/ship"},
		{"pkg/vmcore", "pkg/kmod", "pkg/stack", "internal/rtnetlink"},
		{"pkg/elfcore", "pkg/printk", "pkg/bootimage", "pkg/pagefilter", "internal/devmapper", "pkg/kallsyms", "pkg/btf", "pkg/unwind"},
		{"pkg/kcore", "pkg/kdumpfile", "pkg/initramfs", "pkg/object"},
		{"pkg/machine", "pkg/excerpt", "pkg/report"},
		{"pkg/capture", "pkg/reservation"},
		{"pkg/plan"},
		{"pkg/check", "pkg/record"},
		{"pkg/accuracy"},
		{"pkg/loader"},
		{"pkg/hotplug", "pkg/storage", "internal/kexeccmd", "internal/makedumpfilecmd"},
		{"pkg/bootloader", "pkg/kdumpconf"},
		{"cmd/gokexec"},
	}
}

func TestImportsPointDown(t *testing.T) {
	layer := map[string]int{}
	for i, names := range layers() {
		for _, name := range names {
			layer[name] = i
		}
	}
	for name, imports := range imports(t, "{{.ImportPath}} {{join .Imports \" \"}}") {
		own, product := layer[name]
		if !product {
			if strings.HasPrefix(name, "pkg/") {
				t.Errorf("%s is in no layer: add it", name)
			}
			continue
		}
		for _, path := range imports {
			imported, ours := strings.CutPrefix(path, module)
			if !ours {
				continue
			}
			if below, known := layer[imported]; !known || below >= own {
				t.Errorf("%s imports %s, which is no lower layer", name, imported)
			}
		}
	}
}

// Only internal/kexecsys makes the kexec calls. It and internal/devmapper use unsafe, to hand a buffer to the kernel;
// otherwise only test code does.
func TestUnsafeStaysInside(t *testing.T) {
	for name, imports := range imports(t, "{{.ImportPath}} {{join .Imports \" \"}}") {
		product := strings.HasPrefix(name, "pkg/") || strings.HasPrefix(name, "cmd/gokexec")
		calls := name == "internal/kexecsys" || name == "internal/devmapper"
		if (product || inLayer(name)) && !calls && slices.Contains(imports, "unsafe") {
			t.Errorf("%s imports unsafe", name)
		}
		if product && slices.Contains(imports, "github.com/u-root/u-root/pkg/boot/kexec") {
			t.Errorf("%s imports u-root's kexec; that is for internal/kexecsys", name)
		}
	}
}

// Importing pkg/loader, or anything else of pkg/, must not pull in the test
// laboratory or the fakes.
func TestProductNeedsNoTestCode(t *testing.T) {
	for name, deps := range imports(t, "{{.ImportPath}} {{join .Deps \" \"}}") {
		if !strings.HasPrefix(name, "pkg/") && name != "cmd/gokexec" {
			continue
		}
		for _, d := range deps {
			for _, test := range []string{"internal/vmlab", "internal/storelab", "internal/kexectest", "internal/imagetest", "internal/dumptest", "internal/disktest", "internal/alloctest"} {
				if strings.HasPrefix(d, module+test) {
					t.Errorf("%s depends on %s", name, d)
				}
			}
		}
	}
}

// Go initialises internal/early before the packages that need more than os does: it must not need them
// itself. And only the program may end as it does.
func TestEarlyNeedsLittle(t *testing.T) {
	const early = "internal/early"
	out, err := exec.Command("go", "list", "-deps", "os").Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	light := append(strings.Fields(string(out)), module+"internal/announce")
	for name, deps := range imports(t, "{{.ImportPath}} {{join .Deps \" \"}}") {
		if name != early {
			if slices.Contains(deps, module+early) && name != "cmd/gokexec" {
				t.Errorf("%s depends on %s", name, early)
			}
			continue
		}
		for _, d := range deps {
			if !slices.Contains(light, d) {
				t.Errorf("%s depends on %s, and os does not", name, d)
			}
		}
	}
}

// TLS, HTTP, SSH and S3 are in gokexec-remote: gokexec, and so each initramfs and each event of a hotplug, does without.
func TestNetworkStaysApart(t *testing.T) {
	heavy := []string{"crypto/tls", "net/http", "golang.org/x/crypto/ssh", "filippo.io/age", "github.com/minio/", "github.com/pkg/sftp", module + "pkg/store", module + "pkg/seal"}
	found := false
	for name, deps := range imports(t, "{{.ImportPath}} {{join .Deps \" \"}}") {
		if name == "cmd/gokexec-remote" {
			found = slices.Contains(deps, "net/http")
		}
		if name != "cmd/gokexec" {
			continue
		}
		for _, d := range deps {
			if slices.ContainsFunc(heavy, func(h string) bool { return strings.HasPrefix(d, h) }) {
				t.Errorf("%s depends on %s", name, d)
			}
		}
	}
	if !found {
		t.Error("gokexec-remote has no network: this test looks at the wrong packages")
	}
}

// inLayer reports whether a package is one of the product's.
func inLayer(name string) bool {
	return slices.ContainsFunc(layers(), func(layer []string) bool { return slices.Contains(layer, name) })
}

func imports(t *testing.T, format string) map[string][]string {
	t.Helper()
	out, err := exec.Command("go", "list", "-f", format, module+"...").Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	all := map[string][]string{}
	for line := range strings.Lines(string(out)) {
		fields := strings.Fields(line)
		all[strings.TrimPrefix(fields[0], module)] = fields[1:]
	}
	if len(all) < 5 {
		t.Fatalf("go list names %d packages; want all of the module", len(all))
	}
	return all
}
