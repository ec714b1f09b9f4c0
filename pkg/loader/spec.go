package loader

import (
	"crypto/rand"
	"errors"
	"fmt"
)

// Kind says when the loaded kernel starts.
type Kind int

// The two images that Linux keeps.
const (
	Crash Kind = iota // started by a panic, in the crash region
	Boot              // started by a reboot: ordinary kexec
)

// String gives "crash" or "boot".
func (k Kind) String() string {
	if k == Boot {
		return "boot"
	}
	return "crash"
}

// MarshalText gives the name.
func (k Kind) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

// UnmarshalText reads what MarshalText gives.
func (k *Kind) UnmarshalText(b []byte) error {
	switch string(b) {
	case "crash":
		*k = Crash
	case "boot":
		*k = Boot
	default:
		return fmt.Errorf("kind %q is neither crash nor boot", b)
	}
	return nil
}

// Spec is what the user wants loaded. It is pure data: the same Spec and Host
// give the same Plan on any machine.
type Spec struct {
	Kind   Kind
	Kernel *Source
	Initrd *Source // nil: none

	// Cmdline is the command line's base. With ReuseCmdline it is ignored, and
	// the running kernel's is taken, less DroppedParams.
	Cmdline      string
	ReuseCmdline bool
	// Append is put behind the base.
	Append string
	// CmdlineExact keeps gokexec from adding CrashParams.
	CmdlineExact bool

	Method Method // Auto by default

	// Force loads an initrd that CheckInitrd finds to be none, or damaged.
	Force bool

	// What follows is for the method Segments.

	Hotplug  Hotplug // HotplugAuto by default
	NoChecks bool    // enter the kernel without looking at the digest
	DTB      *Source // arm64, riscv64: device tree instead of the running kernel's; nil for that
	Serial   Serial  // where a wrong digest is reported
	Options  SegmentOptions

	// Seed is random bytes for the new kernel's generator; none if empty. It is
	// part of the Spec because a Plan holds no chance. See ReadSeed.
	Seed []byte
}

// SeedSize is the length in bytes of the seed that kexec_file_load gives
// (arch/x86/include/asm/setup.h, RNG_SEED_LENGTH).
const SeedSize = 32

// ReadSeed fills Seed from the system's generator.
func (s *Spec) ReadSeed() {
	s.Seed = make([]byte, SeedSize)
	rand.Read(s.Seed) // never fails (crypto/rand)
}

// Close closes the files of the Spec.
func (s *Spec) Close() error {
	return errors.Join(s.Kernel.Close(), s.Initrd.Close(), s.DTB.Close())
}
