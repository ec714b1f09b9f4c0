package plan

import (
	"testing"

	"github.com/gokexec/gokexec/pkg/machine"
)

// An architecture whose kernel has kexec_file_load has a row that says what it takes, and a
// row is complete for what it plans.
func TestProtocolsAreComplete(t *testing.T) {
	for _, a := range machine.Arches() {
		row := protocolOf(a.Machine)
		if a.FileLoad != (len(row.formats) > 0) {
			t.Errorf("%s: kexec_file_load %t, formats %v", a.Name, a.FileLoad, row.formats)
		}
		if row.prepare != nil && row.destinations == nil {
			t.Errorf("%s: plans kexec_load, but has no destinations", a.Name)
		}
		if row.fileSegments == nil || row.controlPages == nil || row.reserveHint == "" || row.bootLoaderHint == "" {
			t.Errorf("%s: a default is missing", a.Name)
		}
	}
	seen := map[string]bool{}
	for _, row := range protocols() {
		if name := row.machine.String(); seen[name] {
			t.Errorf("two rows for %s", name)
		} else {
			seen[name] = true
		}
	}
}
