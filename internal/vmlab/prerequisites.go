package vmlab

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
)

// Missing is something the laboratory needs and this machine lacks.
type Missing struct {
	What    string // a program or a file
	Package string // Debian's package that has it
	For     string
}

func (m Missing) String() string {
	return fmt.Sprintf("%s (package %s, for %s)", m.What, m.Package, m.For)
}

// Prerequisites lists what is missing on this machine to boot guests of the
// given architectures (GOARCH); amd64 if none is given. Kernels and everything
// that runs in the guest are downloaded by the laboratory itself.
func Prerequisites(goarches ...string) []Missing {
	if len(goarches) == 0 {
		goarches = []string{"amd64"}
	}
	var missing []Missing
	need := func(program, pkg, purpose string) {
		if _, err := lookTool(program); err != nil {
			missing = append(missing, Missing{program, pkg, purpose})
		}
	}
	for _, goarch := range goarches {
		spec, ok := machineSpecs[goarch]
		if !ok {
			missing = append(missing, Missing{"a machine for " + goarch, "none", "booting guests"})
			continue
		}
		if spec.suite == "" {
			need(spec.qemu, spec.aptPackage, "booting "+goarch+" guests")
		}
	}
	need("go", "golang-go", "building the guest's programs")
	if os.Getenv("GOKEXEC_VM_KERNEL") != "" {
		return missing
	}
	need("apt-get", "apt", "downloading kernels")
	need("apt-cache", "apt", "downloading kernels")
	need("dpkg-deb", "dpkg", "unpacking kernels")
	need("tar", "tar", "unpacking packages")
	if sources, err := ReadSources(os.DirFS("/")); err == nil && sources.Archive.SignedBy != "" {
		if _, err := os.Stat(sources.Archive.SignedBy); err != nil {
			missing = append(missing, Missing{sources.Archive.SignedBy, "debian-archive-keyring", "checking downloads"})
		}
	}
	return missing
}

// InstallHint is a command that installs what is missing; empty if nothing is.
func InstallHint(missing []Missing) string {
	var packages []string
	for _, m := range missing {
		if !strings.Contains(" "+strings.Join(packages, " ")+" ", " "+m.Package+" ") {
			packages = append(packages, m.Package)
		}
	}
	if len(packages) == 0 {
		return ""
	}
	installer := "apt-get install "
	if _, err := exec.LookPath("apt-get"); err != nil {
		installer = "with your system's package manager, what Debian calls "
	}
	return installer + strings.Join(packages, " ")
}
