package loader

import (
	"context"
	"io/fs"
	"os"
	"time"

	"github.com/gokexec/gokexec/internal/kexecsys"
	"github.com/gokexec/gokexec/pkg/advice"
	"github.com/gokexec/gokexec/pkg/kexec"
	"github.com/gokexec/gokexec/pkg/machine"
	"github.com/gokexec/gokexec/pkg/plan"
	"github.com/gokexec/gokexec/pkg/record"
	"github.com/gokexec/gokexec/pkg/statedir"
)

// DefaultWait is how long a busy kernel is tried again.
const DefaultWait = 10 * time.Second

// Kernel is what loads: the running kernel, or a fake one in tests.
type Kernel interface {
	KexecFileLoad(kernel, initrd *os.File, cmdline string, flags kexec.FileFlags) error
	KexecLoad(entry uint64, segments []kexec.Segment, flags kexec.LoadFlags) error
	ReuseDiskKeys(reuse bool) error
	// FindDiskKey tells whether a kexec_file_load by this process would find the key of
	// an encrypted disk with that description; ENOKEY and its like if not.
	FindDiskKey(description string) error
	// AddDiskKey has each kexec_file_load for a crash hand over the key of that description, and RemoveDiskKey
	// no more; name is that of machine.DiskKeyName.
	AddDiskKey(name, description string) error
	RemoveDiskKey(name string) error
	Reboot() error
}

// Loader carries plans out.
type Loader struct {
	Kernel Kernel
	Root   fs.FS // the machine, for looking again after an error
	Arch   machine.Arch
	// StateDir is where the last good crash load is recorded, so that it can be
	// restored, and where loads lock each other out (statedir.Dir); "" does neither.
	StateDir string
	// Lock, if set, takes the reload lock in its own way.
	Lock func(context.Context) (*statedir.Lock, error)
	// Wait bounds how long a busy kernel (EBUSY) is tried again.
	Wait time.Duration
	// Check, if set, judges a plan before it is loaded, instead of check.Load and
	// check.Initrd, of which a failure is an error.
	Check func(*machine.Host, *plan.Inputs, *plan.Plan) ([]advice.Finding, error)
	// Build, if set, builds again what a recorded load had built in memory (plan.Spec.Recipe): it gives
	// the Spec for the machine as it is now.
	Build func(context.Context, *plan.Spec) (*plan.Spec, error)
	// Begin, if set, is called when a load has the lock, and what it returns at its end.
	Begin func() (end func())
	// Report, if set, receives what happens apart from success, one line each.
	Report func(string)
}

// DefaultStateDir is where gokexec keeps its notes; it is empty after a boot,
// as is the kernel.
const DefaultStateDir = statedir.Default

// System is a Loader for the running machine.
func System() (*Loader, error) {
	arch, err := machine.NativeArch()
	if err != nil {
		return nil, err
	}
	return &Loader{Kernel: kexecsys.Kernel{}, Root: os.DirFS("/"), Arch: arch, StateDir: DefaultStateDir, Wait: DefaultWait}, nil
}

func (l *Loader) report(line string) {
	if l.Report != nil {
		l.Report(line)
	}
}

// openRecorded opens what a recorded load was made of, and builds again what was built.
func (l *Loader) openRecorded(ctx context.Context, state *record.State) (*plan.Inputs, error) {
	spec := state.Spec()
	if spec.Initrd != nil && spec.Initrd.Built != "" && l.Build != nil {
		built, err := l.Build(ctx, spec)
		if err != nil {
			return nil, err
		}
		spec = built
	}
	return plan.Open(spec)
}

func (l *Loader) warn(err error) {
	if err != nil {
		l.report("warning: " + err.Error())
	}
}
