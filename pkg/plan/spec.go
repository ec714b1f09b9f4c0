package plan

import (
	"crypto/rand"
	"encoding/json"

	"github.com/gokexec/gokexec/pkg/kexec"
	"github.com/gokexec/gokexec/pkg/machine"
)

// Spec is what the user wants loaded. It is pure data: the same Spec and Host
// give the same Plan on any machine. Its JSON form is what State keeps of a load,
// so a field without a tag of its own is kept too.
type Spec struct {
	Kind   machine.Kind `json:"kind"`
	Kernel *Source      `json:"kernel"`
	Initrd *Source      `json:"initrd,omitempty"` // nil: none

	// Cmdline is the command line's base. With ReuseCmdline it is ignored, and
	// the running kernel's is taken, less DroppedParams.
	Cmdline      string `json:"cmdline"`
	ReuseCmdline bool   `json:"reuse_cmdline,omitempty"`
	// Append is put behind the base.
	Append string `json:"append,omitempty"`
	// CmdlineExact keeps gokexec from adding CrashParams.
	CmdlineExact bool `json:"cmdline_exact,omitempty"`
	// CPUs is how many the capture kernel is to have; 0 is one.
	CPUs int `json:"cpus,omitempty"`

	Method Method `json:"method"` // Auto by default

	// FileFlags are more flags for kexec_file_load, in addition to those that the load
	// needs: debug output, no CMA, the device tree given to this kernel.
	FileFlags kexec.FileFlags `json:"file_flags,omitempty"`

	// Recipe is what Initrd was built from, if it was built in memory: as the caller wants it kept, for
	// building it again. Nothing here reads it.
	Recipe json.RawMessage `json:"recipe,omitempty"`

	// Force loads an initrd that check.Initrd finds to be none, or damaged.
	Force bool `json:"force,omitempty"`

	// What follows is for the method Segments.

	Hotplug  Hotplug        `json:"hotplug"`               // HotplugAuto by default
	NoChecks bool           `json:"no_checks,omitempty"`   // enter the kernel without looking at the digest
	DTB      *Source        `json:"device_tree,omitempty"` // arm64, riscv64: device tree instead of the running kernel's; nil for that
	Serial   Serial         `json:"serial,omitzero"`       // where a wrong digest is reported
	Options  SegmentOptions `json:"segment_options,omitzero"`

	// Seed is random bytes for the new kernel's generator; none if empty. It is
	// part of the Spec because a Plan holds no chance. See ReadSeed. It is not
	// kept: each load has a new one.
	Seed []byte `json:"-"`
}

// SeedSize is the length in bytes of the seed that kexec_file_load gives
// (arch/x86/include/asm/setup.h, RNG_SEED_LENGTH).
const SeedSize = 32

// ReadSeed fills Seed from the system's generator.
func (s *Spec) ReadSeed() {
	s.Seed = make([]byte, SeedSize)
	rand.Read(s.Seed) // never fails (crypto/rand)
}
