package vmlab

import (
	"context"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gokexec/gokexec/internal/vmlab/wire"
)

// defaultMatrix is what a plain go test boots, fullMatrix what
// GOKEXEC_VM_MATRIX=full does.
var (
	defaultMatrix = []string{"trixie-cloud"}
	fullMatrix    = []string{"bookworm-cloud", "trixie-cloud", "backports-cloud", "trixie-generic"}

	// For the tests of other architectures.
	archKernels = []string{"trixie-arm64", "trixie-riscv64"}
)

// required says whether a VM test that can't run is a failure.
func required() bool { return os.Getenv("GOKEXEC_VM_REQUIRED") == "1" }

// unable skips the test, or fails it with GOKEXEC_VM_REQUIRED=1.
func unable(t testing.TB, format string, args ...any) {
	t.Helper()
	if required() {
		t.Fatalf("VM test can't run: "+format, args...)
	}
	t.Skipf("VM TEST SKIPPED: "+format+" (GOKEXEC_VM_REQUIRED=1 makes this a failure)", args...)
}

// Require skips the test when this machine can't boot guests of an
// architecture; with GOKEXEC_VM_REQUIRED=1 it fails.
func Require(t testing.TB, goarch string) {
	t.Helper()
	if testing.Short() && !required() {
		t.Skip("VM test skipped by -short")
	}
	if missing := Prerequisites(goarch); len(missing) > 0 {
		var what []string
		for _, m := range missing {
			what = append(what, m.String())
		}
		unable(t, "missing %s; %s", strings.Join(what, ", "), InstallHint(missing))
	}
}

// MatrixNames lists the kernels tests are to run on: GOKEXEC_VM_MATRIX is
// "full" or a list of names separated by commas; by default it is the one of
// Debian stable. A kernel in GOKEXEC_VM_KERNEL replaces the default, and is
// added to what GOKEXEC_VM_MATRIX names.
func MatrixNames() []string {
	var names []string
	switch matrix := os.Getenv("GOKEXEC_VM_MATRIX"); matrix {
	case "":
		names = slices.Clone(defaultMatrix)
		if os.Getenv("GOKEXEC_VM_KERNEL") != "" {
			names = nil
		}
	case "full":
		names = slices.Clone(fullMatrix)
	default:
		names = strings.Split(matrix, ",")
	}
	if os.Getenv("GOKEXEC_VM_KERNEL") != "" {
		names = append(names, customName)
	}
	return names
}

// Matrix runs a test as a subtest for each kernel of MatrixNames, in parallel with
// others; so do the functions like it below. A test has one machine at a time.
func Matrix(t *testing.T, test func(t *testing.T, k *Kernel)) {
	t.Helper()
	runOn(t, MatrixNames(), test)
}

// MatrixOf is Matrix for what is the same on some kernels of the full matrix: of that it
// takes those that are named.
func MatrixOf(t *testing.T, test func(t *testing.T, k *Kernel), names ...string) {
	t.Helper()
	run := MatrixNames()
	if os.Getenv("GOKEXEC_VM_MATRIX") == "full" {
		run = slices.DeleteFunc(run, func(name string) bool { return name != customName && !slices.Contains(names, name) })
	}
	runOn(t, run, test)
}

func runOn(t *testing.T, names []string, test func(t *testing.T, k *Kernel)) {
	t.Helper()
	t.Parallel()
	for _, name := range names {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, GetTestKernel(t, name))
		})
	}
}

// ArchMatrix is Matrix for the other architectures: one kernel of each, or those
// that GOKEXEC_VM_MATRIX names.
func ArchMatrix(t *testing.T, test func(t *testing.T, k *Kernel)) {
	t.Helper()
	runArches(t, archKernels, test)
}

// NotByDefault skips what the default run has no time for: it needs GOKEXEC_VM_MATRIX,
// or a kernel of one's own.
func NotByDefault(t testing.TB) {
	t.Helper()
	if os.Getenv("GOKEXEC_VM_MATRIX") == "" && os.Getenv("GOKEXEC_VM_KERNEL") == "" {
		t.Skip("not in this run: it needs GOKEXEC_VM_MATRIX=full")
	}
}

// MoreArchMatrix is ArchMatrix for what is NotByDefault: with
// GOKEXEC_VM_MATRIX=full it runs on the kernels that are named, and where that
// variable lists kernels, on those of the same architectures.
func MoreArchMatrix(t *testing.T, test func(t *testing.T, k *Kernel), names ...string) {
	t.Helper()
	NotByDefault(t)
	runArches(t, names, test)
}

// BuiltMatrix runs a test on those of the kernels that are named that GOKEXEC_VM_BUILT
// asks for ("all", or names separated by commas): building them takes long.
func BuiltMatrix(t *testing.T, test func(t *testing.T, k *Kernel), names ...string) {
	t.Helper()
	wanted := strings.Split(os.Getenv("GOKEXEC_VM_BUILT"), ",")
	if wanted[0] == "" {
		t.Skip("not in this run: it needs GOKEXEC_VM_BUILT=all (make vm-built)")
	}
	runOn(t, slices.DeleteFunc(slices.Clone(names), func(name string) bool {
		return wanted[0] != "all" && !slices.Contains(wanted, name)
	}), test)
}

func runArches(t *testing.T, names []string, test func(t *testing.T, k *Kernel)) {
	t.Helper()
	run := names
	matrix := os.Getenv("GOKEXEC_VM_MATRIX")
	if matrix != "full" && (matrix != "" || os.Getenv("GOKEXEC_VM_KERNEL") != "") {
		run = slices.DeleteFunc(MatrixNames(), func(name string) bool {
			return !slices.ContainsFunc(names, func(n string) bool { return kernelArch(n) == kernelArch(name) })
		})
	}
	runOn(t, run, test)
}

// kernelArch is the GOARCH of a kernel by name.
func kernelArch(name string) string {
	if spec, ok := kernelSpecs[name]; ok {
		return spec.arch
	}
	if spec, ok := builtSpecs[name]; ok {
		return spec.arch
	}
	if arch := os.Getenv("GOKEXEC_VM_ARCH"); name == customName && arch != "" {
		return arch
	}
	return "amd64"
}

// GetTestKernel is GetKernel for a test: it skips (or fails, with
// GOKEXEC_VM_REQUIRED=1) when the kernel can't be had or booted.
func GetTestKernel(t testing.TB, name string) *Kernel {
	t.Helper()
	Require(t, kernelArch(name))
	k, err := GetKernel(t.Context(), name)
	if err != nil {
		unable(t, "%v", err)
	}
	return k
}

// GetTestPackage is GetPackage for a test, on amd64.
func GetTestPackage(t testing.TB, suite, name string) *Package {
	t.Helper()
	p, err := GetPackage(t.Context(), suite, name, "amd64")
	if err != nil {
		unable(t, "%v", err)
	}
	return p
}

// GetArchPackage is GetPackage for a test, for guests of that GOARCH.
func GetArchPackage(t testing.TB, suite, name, goarch string) *Package {
	t.Helper()
	p, err := GetPackage(t.Context(), suite, name, debianArch(goarch))
	if err != nil {
		unable(t, "%v", err)
	}
	return p
}

// BuildTest is Build for a test.
func BuildTest(t testing.TB, pkg, goarch string) string {
	t.Helper()
	path, err := Build(t.Context(), pkg, goarch)
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// Guest is a VM in a test: its methods fail the test instead of returning an
// error, and the machine ends with the test. The VM's own methods, for what is
// expected to fail or runs in another goroutine, are methods of Guest.VM.
type Guest struct {
	VM *VM
	T  testing.TB
}

// Boot launches a VM for a test. If the test fails, the end of the console goes
// to its log, and GOKEXEC_VM_KEEP=1 keeps the machine's files.
func Boot(t testing.TB, cfg Config) *Guest {
	t.Helper()
	vm, err := Launch(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("end of the console of %s (%s):\n%s", cfg.Kernel.Name, vm.Dir(), tail(vm.Console(), 60))
		}
		if err := vm.Close(); err != nil {
			t.Errorf("close the VM: %v", err)
		}
		t.Logf("%s: %v, in which QEMU took %v of CPU time", cfg.Kernel.Name, vm.end.Duration.Round(time.Second), vm.end.CPU.Round(time.Second))
	})
	for _, err := range vm.Failed {
		t.Logf("STARTED ANEW: %v", err)
	}
	if vm.Hello != nil {
		for _, warning := range vm.Hello.Warnings {
			t.Errorf("guest's init: %s", warning)
		}
	}
	return &Guest{vm, t}
}

func (g *Guest) ctx() context.Context { return g.T.Context() }

func must[V any](g *Guest, v V, err error) V {
	g.T.Helper()
	if err != nil {
		g.T.Fatal(err)
	}
	return v
}

func (g *Guest) check(err error) {
	g.T.Helper()
	if err != nil {
		g.T.Fatal(err)
	}
}

// Run runs a program to its end, whatever its exit status.
func (g *Guest) Run(argv ...string) Result {
	g.T.Helper()
	result, err := g.VM.Run(g.ctx(), Command{Argv: argv})
	return must(g, result, err)
}

// Must runs a program that has to succeed, and returns its standard output.
func (g *Guest) Must(argv ...string) string {
	g.T.Helper()
	r := g.Run(argv...)
	if r.Code != 0 {
		g.T.Fatalf("%q: exit status %d %s\nstdout: %s\nstderr: %s", argv, r.Code, r.Signal, r.Stdout, r.Stderr)
	}
	return r.Stdout
}

// Start starts a program.
func (g *Guest) Start(argv ...string) *Process {
	g.T.Helper()
	p, err := g.VM.Start(g.ctx(), Command{Argv: argv})
	return must(g, p, err)
}

// ReadFile reads a file of the guest.
func (g *Guest) ReadFile(path string) string {
	g.T.Helper()
	content, err := g.VM.ReadFile(g.ctx(), path)
	return string(must(g, content, err))
}

// Glob lists files of the guest.
func (g *Guest) Glob(pattern string) []string {
	g.T.Helper()
	names, err := g.VM.Glob(g.ctx(), pattern)
	return must(g, names, err)
}

// WriteFile writes a file of the guest.
func (g *Guest) WriteFile(path, content string) {
	g.T.Helper()
	g.check(g.VM.WriteFile(g.ctx(), path, []byte(content), 0o644))
}

// HMP runs a command of QEMU's monitor.
func (g *Guest) HMP(line string) string {
	g.T.Helper()
	text, err := g.VM.HMP(g.ctx(), line)
	return must(g, text, err)
}

// Plant makes the guest hold a nonce on that many pages.
func (g *Guest) Plant(pages int) *Nonce {
	g.T.Helper()
	n, err := g.VM.Plant(g.ctx(), pages)
	return must(g, n, err)
}

// PlantAll makes the guest hold a nonce in memory of each kind.
func (g *Guest) PlantAll(pages int) Plants {
	g.T.Helper()
	p, err := g.VM.PlantAll(g.ctx(), pages)
	return must(g, p, err)
}

// Crash panics the kernel on whatever CPU.
func (g *Guest) Crash() {
	g.T.Helper()
	g.check(g.VM.Crash(g.ctx(), -1))
}

// Reboot ends the kernel: "reboot", "poweroff", "halt" or "kexec".
func (g *Guest) Reboot(mode string) {
	g.T.Helper()
	g.check(g.VM.Reboot(g.ctx(), mode))
}

// WaitHello waits for the agent of a second kernel.
func (g *Guest) WaitHello() *wire.Hello {
	g.T.Helper()
	hello, err := g.VM.WaitHello(g.ctx())
	return must(g, hello, err)
}

// Eventually waits for something that others in the guest bring about: until missing
// returns nothing. It gives up after the time of a step.
func (g *Guest) Eventually(what string, missing func() string) {
	g.T.Helper()
	ctx, cancel := g.VM.bound(g.ctx(), g.VM.patience())
	defer cancel()
	for {
		still := missing()
		if still == "" {
			return
		}
		select {
		case <-ctx.Done():
			g.T.Fatalf("%s: %v: %s", what, context.Cause(ctx), still)
		case <-time.After(200 * time.Millisecond): // what looks takes time from the guest
		}
	}
}

// WaitEnd waits, as long as one step may take, until the guest has rebooted or
// powered off, and fails if QEMU did.
func (g *Guest) WaitEnd() End {
	g.T.Helper()
	ctx, cancel := g.VM.step(g.ctx())
	defer cancel()
	end, err := g.VM.Wait(ctx)
	return must(g, end, err)
}
