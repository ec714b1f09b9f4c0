package vmlab

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"
)

// A toolchain is how an architecture is passed to the kernel's build.
type toolchain struct {
	arch   string // ARCH
	prefix string // CROSS_COMPILE
	pkg    string // Debian's package of the compiler
	image  string // the kernel image; make's target for it is its last element
}

var toolchains = map[string]toolchain{
	"amd64":   {"x86_64", "x86_64-linux-gnu-", "gcc-x86-64-linux-gnu", "arch/x86/boot/bzImage"},
	"arm64":   {"arm64", "aarch64-linux-gnu-", "gcc-aarch64-linux-gnu", "arch/arm64/boot/Image"},
	"riscv64": {"riscv", "riscv64-linux-gnu-", "gcc-riscv64-linux-gnu", "arch/riscv/boot/Image"},
	"s390x":   {"s390", "s390x-linux-gnu-", "gcc-s390x-linux-gnu", "arch/s390/boot/bzImage"},
}

// variables tell the kernel's make about it.
func (tc toolchain) variables() []string {
	return []string{"ARCH=" + tc.arch, "CROSS_COMPILE=" + tc.prefix}
}

// The certificate, by the name that the configuration has for it, and its key.
const (
	signingCert = "gokexec.pem"
	signingKey  = "gokexec.key"
)

// sourceTools are what a build runs, and Debian's packages of them; scripts/deps
// installs the same.
func sourceTools(tc toolchain) []Missing {
	return []Missing{
		{tc.prefix + "gcc", tc.pkg, "kernels"}, {"make", "make", "kernels"}, {"gcc", "gcc", "kernels"}, {"flex", "flex", "kernels"},
		{"bison", "bison", "kernels"}, {"bc", "bc", "kernels"}, {"xz", "xz-utils", "kernels"}, {"sbsign", "sbsigntool", "kernels"},
	}
}

// buildKernel unpacks and builds in work, and leaves in root the image, vmlinux, the
// release, and the lists of modules: all are built in.
func buildKernel(ctx context.Context, spec *builtSpec, config []byte, tarball, work, root string) error {
	ctx, cancel := context.WithTimeout(ctx, buildPatience)
	defer cancel()
	tc := toolchains[spec.arch]
	var missing []Missing
	for _, tool := range sourceTools(tc) {
		if _, err := exec.LookPath(tool.What); err != nil {
			missing = append(missing, tool)
		}
	}
	if len(missing) > 0 {
		return fmt.Errorf("tools are missing; %s", InstallHint(missing))
	}
	if _, err := runTool(ctx, work, "tar", "-xJf", tarball, "--strip-components=1"); err != nil {
		return err
	}
	if err := makeSigningKey(work); err != nil {
		return err
	}
	fragment := filepath.Join(work, "gokexec.config")
	if err := os.WriteFile(fragment, config, 0o644); err != nil {
		return err
	}
	build := func(args ...string) (string, error) {
		return runTool(ctx, work, "make", slices.Concat([]string{"-s"}, tc.variables(), args)...)
	}
	if _, err := build("KCONFIG_ALLCONFIG="+fragment, "allnoconfig"); err != nil {
		return err
	}
	if err := checkConfig(filepath.Join(work, ".config"), config); err != nil {
		return err
	}
	if _, err := build(fmt.Sprintf("-j%d", runtime.NumCPU()), filepath.Base(tc.image)); err != nil {
		return err
	}
	release, err := build("kernelrelease")
	if err != nil {
		return err
	}
	if spec.signed {
		if _, err := runTool(ctx, work, "sbsign", "--key", signingKey, "--cert", signingCert, "--output", filepath.Join(root, builtSigned),
			tc.image); err != nil {
			return err
		}
	}
	if _, err := runTool(ctx, work, tc.prefix+"objcopy", "-S", builtELF, filepath.Join(root, builtELF)); err != nil {
		return err
	}
	return collectKernel(work, root, tc.image, strings.TrimSpace(release))
}

// makeSigningKey makes what signs the kernels that this one is to load: a key that
// is gone with the build, and a certificate of it, which goes into the kernel.
func makeSigningKey(dir string) error {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return err
	}
	now := time.Now()
	cert := &x509.Certificate{SerialNumber: big.NewInt(now.Unix()), Subject: pkix.Name{CommonName: "gokexec's tests"},
		NotBefore: now.Add(-24 * time.Hour), NotAfter: now.AddDate(20, 0, 0), KeyUsage: x509.KeyUsageDigitalSignature}
	der, err := x509.CreateCertificate(rand.Reader, cert, cert, &key.PublicKey, key)
	if err != nil {
		return err
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	return errors.Join(
		os.WriteFile(filepath.Join(dir, signingCert), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o644),
		os.WriteFile(filepath.Join(dir, signingKey), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}), 0o600))
}

// checkConfig finds what the configuration asks for and the build did not take.
func checkConfig(file string, asked []byte) error {
	got, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	for line := range strings.Lines(string(asked)) {
		if strings.HasPrefix(line, "CONFIG_") && !strings.Contains("\n"+string(got), "\n"+line) {
			return fmt.Errorf("%s is not in the kernel's configuration", strings.TrimSpace(line))
		}
	}
	return nil
}

func collectKernel(work, root, image, release string) error {
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
		copyFile(image, filepath.Join(root, builtImage)),
		copyFile("modules.builtin", filepath.Join(dir, "modules.builtin")),
		copyFile("modules.builtin.modinfo", filepath.Join(dir, "modules.builtin.modinfo")),
		os.WriteFile(filepath.Join(dir, "modules.dep"), nil, 0o644),
		os.WriteFile(filepath.Join(root, builtRelease), []byte(release+"\n"), 0o644))
}
