package machine

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"

	"github.com/gokexec/gokexec/pkg/kcore"
)

// Generation names the memory and CPUs that the machine had when it was read: equal
// strings, equal machines. It is empty if they could not be read, or h is nil.
func (h *Host) Generation() string {
	if h == nil || h.Dump == nil {
		return ""
	}
	return GenerationOf(h.Dump)
}

// GenerationOf is Host.Generation of what a Host has read.
func GenerationOf(m *kcore.Machine) string {
	digest := sha256.New()
	fmt.Fprintln(digest, m.Iomem.SystemRAM().Minus(m.Excluded()).Ranges())
	for _, c := range m.CPUs {
		fmt.Fprintln(digest, c.CPU, c.Notes)
	}
	for _, node := range m.TreeCPUs {
		fmt.Fprintln(digest, node)
	}
	return hex.EncodeToString(digest.Sum(nil))
}
