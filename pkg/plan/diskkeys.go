package plan

import (
	"bytes"
	"slices"

	"github.com/gokexec/gokexec/pkg/capture"
	"github.com/gokexec/gokexec/pkg/initramfs"
)

// RequireDiskKeys has the load hand over keys of encrypted disks. Only kexec_file_load can
// (Documentation/admin-guide/kdump/kdump.rst), so the plan does not fall back to kexec_load any more.
func (p *Plan) RequireDiskKeys(descriptions []string) {
	p.DiskKeys = descriptions
	if len(descriptions) > 0 {
		p.Fallback = false
	}
}

// DiskKeysOf are the descriptions of the keys that a capture initramfs of gokexec needs to be handed over; none of any other
// initramfs.
func DiskKeysOf(c *initramfs.Contents) []string {
	if c == nil || len(c.Settings) == 0 {
		return nil
	}
	cfg, err := capture.ParseConfig(bytes.NewReader(c.Settings))
	if err != nil {
		return nil // a check of the capture says so
	}
	var all []string
	for _, t := range cfg.Targets {
		if t.Stack == nil {
			continue
		}
		for _, description := range t.Stack.RestoredKeys() {
			if !slices.Contains(all, description) {
				all = append(all, description)
			}
		}
	}
	return all
}
