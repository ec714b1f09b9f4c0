package plan

import (
	"fmt"
	"slices"

	"github.com/gokexec/gokexec/pkg/advice"
	"github.com/gokexec/gokexec/pkg/bootimage"
	"github.com/gokexec/gokexec/pkg/machine"
)

// Method is the system call that loads.
type Method int

// The methods.
const (
	Auto     Method = iota // File, and Segments where the kernel has or takes no File
	File                   // kexec_file_load: the kernel reads and places the files
	Segments               // kexec_load: gokexec does
)

// String gives the word that --method takes.
func (m Method) String() string {
	switch m {
	case File:
		return "file"
	case Segments:
		return "segments"
	}
	return "auto"
}

// MarshalText gives the name.
func (m Method) MarshalText() ([]byte, error) { return []byte(m.String()), nil }

// UnmarshalText reads what MarshalText gives.
func (m *Method) UnmarshalText(b []byte) error {
	for _, known := range []Method{Auto, File, Segments} {
		if string(b) == known.String() {
			*m = known
			return nil
		}
	}
	return fmt.Errorf("method %q is none of auto, file, segments", b)
}

// Hotplug says whether the kernel is to update the elfcorehdr of a crash kernel
// loaded by kexec_load when CPUs or memory are hot-added or hot-removed (CONFIG_CRASH_HOTPLUG).
type Hotplug int

// The choices.
const (
	HotplugAuto Hotplug = iota // if the kernel can
	HotplugOn                  // or fail
	HotplugOff
)

// String gives the word that --hotplug takes.
func (h Hotplug) String() string { return [...]string{"auto", "on", "off"}[h] }

// MarshalText gives the name.
func (h Hotplug) MarshalText() ([]byte, error) { return []byte(h.String()), nil }

// UnmarshalText reads what MarshalText gives.
func (h *Hotplug) UnmarshalText(b []byte) error {
	for _, known := range []Hotplug{HotplugAuto, HotplugOn, HotplugOff} {
		if string(b) == known.String() {
			*h = known
			return nil
		}
	}
	return fmt.Errorf("hotplug %q is none of auto, on, off", b)
}

// choose decides what Auto means for p, a plan by kexec_file_load.
func (in *Inputs) choose(host *machine.Host, p *Plan) (*Plan, error) {
	if !CanPlanSegments(host.Arch) || host.LockedDown() || p.Kind == machine.Boot && host.Handover != "" {
		return p, nil // by kexec_file_load or not at all
	}
	why, mustNot := p.refusedFile(host, in.DTB != nil)
	if why == "" {
		p.Fallback = true
		return p, nil
	}
	q, err := in.newSegments(host, p)
	switch {
	case err == nil:
		q.Why = why
		return q, nil
	case mustNot:
		return nil, err
	}
	return p, nil // whose Check says what is wrong with it
}

// BySegments plans what p, a plan of these files by kexec_file_load with a Fallback, is to be loaded as
// when the kernel does not take it. What p has found of the inputs is taken over.
func (in *Inputs) BySegments(host *machine.Host, p *Plan) (*Plan, error) {
	q, err := in.newSegments(host, p)
	if err != nil {
		return nil, err
	}
	return q, advice.FirstFailure(q.Check(host))
}

// refusedFile says why kexec_file_load would not do, "" if it would; certain
// tells that there is no point in asking it.
func (p *Plan) refusedFile(host *machine.Host, dtb bool) (why string, certain bool) {
	row := protocolOf(host.Arch.Machine)
	if host.Config.Off("KEXEC_FILE") {
		return "kernel " + host.Release + " was built without CONFIG_KEXEC_FILE", true
	}
	if dtb {
		return "kexec_file_load hands the running kernel's device tree on, and takes no other", true
	}
	if p.Image.Machine != host.Arch.Machine {
		return "", false
	}
	if p.Image.Format == bootimage.FormatELF && !slices.Contains(row.formats, bootimage.FormatELF) {
		return "kexec_file_load on " + host.Arch.Name + " does not take " + p.Image.Format.String(), true
	}
	if f := p.checkImage(host); f.Level == advice.Failure {
		return f.Detail, false
	}
	if f := p.checkFirmware(host); f.Level == advice.Warning {
		return f.Detail, false
	}
	if row.refusedFile != nil {
		return row.refusedFile(p, host), false
	}
	return "", false
}

// NoSegmentsHint is for an architecture that gokexec makes no segments for.
func NoSegmentsHint(arch machine.Arch) string {
	return "boot a kernel with CONFIG_KEXEC_FILE=y: on " + arch.Name + " gokexec does not load by kexec_load, as kexec-tools does"
}
