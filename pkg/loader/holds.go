package loader

import (
	"bytes"
	"encoding/json"

	"github.com/gokexec/gokexec/pkg/accuracy"
	"github.com/gokexec/gokexec/pkg/machine"
	"github.com/gokexec/gokexec/pkg/plan"
	"github.com/gokexec/gokexec/pkg/record"
)

// Holds tells whether what is loaded is the crash kernel that in asks for: the last
// load by gokexec was asked for the same, of the same files, which have not been
// written to since; no other program has loaded since, as far as a fingerprint of the
// memory was taken; and the elfcorehdr is accurate. Where that can't be seen it tells
// false: to load once more does no harm. The caller has the reload lock.
func (l *Loader) Holds(in *plan.Inputs) bool {
	state, err := record.Read(l.StateDir)
	if err != nil || state.Version != record.Version || state.Memory.SHA256 == "" {
		return false
	}
	if (machine.HasDiskKeys(l.Root) || len(state.DiskKeys) > 0) && state.Method == plan.Segments && in.Spec.Method != plan.Segments {
		return false // restored without the keys
	}
	noted, err := json.Marshal(state.Asked)
	if err != nil {
		return false
	}
	asked, err := json.Marshal(in.Spec)
	if err != nil || !bytes.Equal(noted, asked) {
		return false
	}
	t := accuracy.Verify(l.Root, l.StateDir)
	return t.Accuracy == accuracy.Accurate && !t.Foreign
}
