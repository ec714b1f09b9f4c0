package record

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/gokexec/gokexec/pkg/machine"
	"github.com/gokexec/gokexec/pkg/memmap"
	"github.com/gokexec/gokexec/pkg/plan"
)

// state1 is version 1 of State, which a gokexec that was replaced since the boot
// has left.
type state1 struct {
	Method     plan.Method         `json:"method"`
	Kernel     plan.FileID         `json:"kernel"`
	Initrd     plan.FileID         `json:"initrd"`
	Cmdline    string              `json:"cmdline"` // as loaded
	Loaded     time.Time           `json:"loaded_at"`
	Asked      plan.Method         `json:"method_asked_for"`
	Generation string              `json:"machine"`
	Memory     Fingerprint         `json:"memory"`
	Elfcorehdr memmap.PhysAddr     `json:"elfcorehdr"`
	Hotplug    plan.Hotplug        `json:"hotplug"`
	Updated    bool                `json:"kernel_updates_header"`
	NoChecks   bool                `json:"no_checks"`
	Serial     plan.Serial         `json:"serial"`
	Options    plan.SegmentOptions `json:"segment_options"`
	DTB        plan.FileID         `json:"dtb"`
}

func parseState1(b []byte) (*State, error) {
	var old state1
	if err := json.Unmarshal(b, &old); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNone, err)
	}
	if old.Kernel.Path == "" {
		return nil, fmt.Errorf("%w: it names no kernel", ErrNone)
	}
	source := func(id plan.FileID) *plan.Source {
		if id.Path == "" {
			return nil
		}
		return plan.SourceOf(id)
	}
	spec := &plan.Spec{Kind: machine.Crash, Kernel: source(old.Kernel), Cmdline: old.Cmdline, CmdlineExact: true,
		Method: old.Asked, Hotplug: old.Hotplug, NoChecks: old.NoChecks, Serial: old.Serial, Options: old.Options, DTB: source(old.DTB)}
	if old.Initrd.Path != old.Kernel.Path { // else a UKI brings it
		spec.Initrd = source(old.Initrd)
	}
	return &State{Version: 1, Loaded: old.Loaded, Asked: spec, Result: Result{Method: old.Method, Cmdline: old.Cmdline,
		Elfcorehdr: old.Elfcorehdr, Updated: old.Updated, Generation: old.Generation, Memory: old.Memory}}, nil
}
