package loader

import (
	"github.com/gokexec/gokexec/pkg/machine"
	"github.com/gokexec/gokexec/pkg/memmap"
)

// Status is what is loaded, and where a crash kernel may be.
type Status struct {
	CrashLoaded *bool         `json:"crash_loaded"` // null: the kernel does not say
	BootLoaded  *bool         `json:"boot_loaded"`
	CrashMemory []CrashMemory `json:"crash_memory"`
	CrashBytes  uint64        `json:"crash_memory_bytes"`
	MemoryError string        `json:"crash_memory_error,omitempty"`
	Noted       *State        `json:"last_load,omitempty"` // the last crash load by gokexec
	Release     string        `json:"kernel_release"`
}

// CrashMemory is one reserved range, half-open.
type CrashMemory struct {
	Start memmap.PhysAddr `json:"start"`
	End   memmap.PhysAddr `json:"end"`
}

// ReadStatus tells what Host and the state directory say.
func ReadStatus(host *machine.Host, stateDir string) *Status {
	s := &Status{CrashLoaded: host.CrashLoaded, BootLoaded: host.BootLoaded, Release: host.Release, CrashMemory: []CrashMemory{}}
	for _, r := range host.Crash {
		s.CrashMemory = append(s.CrashMemory, CrashMemory{r.Start, r.End})
		s.CrashBytes += r.Size()
	}
	if err := host.Unread["proc/iomem"]; err != nil {
		s.MemoryError = err.Error()
	}
	if host.CrashLoaded != nil && *host.CrashLoaded && stateDir != "" {
		if state, err := ReadState(stateDir); err == nil {
			s.Noted = state
		}
	}
	return s
}
