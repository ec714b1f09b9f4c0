package machine

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"

	"github.com/gokexec/gokexec/pkg/kcore"
)

// Generation names the memory and CPUs that the machine under root has now:
// equal strings, equal machines. It is empty if they can't be read.
func Generation(root fs.FS) string {
	m, err := kcore.ReadMachine(root)
	if err != nil {
		return ""
	}
	return GenerationOf(m)
}

// Generation is that of the machine as it was read; empty if it could not be.
func (h *Host) Generation() string {
	if h.Dump == nil {
		return ""
	}
	return GenerationOf(h.Dump)
}

// GenerationOf is Generation of a machine that was read.
func GenerationOf(m *kcore.Machine) string {
	digest := sha256.New()
	fmt.Fprintln(digest, m.Iomem.SystemRAM().Minus(m.Excluded()).Ranges())
	for _, c := range m.CPUs {
		fmt.Fprintln(digest, c.CPU, c.Notes)
	}
	return hex.EncodeToString(digest.Sum(nil))
}
