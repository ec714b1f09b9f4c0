package loader

import (
	"github.com/gokexec/gokexec/pkg/machine"
	"github.com/gokexec/gokexec/pkg/record"
)

// Status is what is loaded, and where a crash kernel may be.
type Status struct {
	CrashLoaded *bool                `json:"crash_loaded"` // null: the kernel does not say
	BootLoaded  *bool                `json:"boot_loaded"`
	CrashMemory []record.CrashMemory `json:"crash_memory"`
	CrashBytes  uint64               `json:"crash_memory_bytes"`
	MemoryError string               `json:"crash_memory_error,omitempty"`
	Noted       *record.State        `json:"last_load,omitempty"` // the last crash load by gokexec
	Release     string               `json:"kernel_release"`
}

// ReadStatus tells what Host and the state directory say.
func ReadStatus(host *machine.Host, stateDir string) *Status {
	s := &Status{CrashLoaded: host.CrashLoaded, BootLoaded: host.BootLoaded, Release: host.Release, CrashMemory: []record.CrashMemory{}}
	for _, r := range host.Crash {
		s.CrashMemory = append(s.CrashMemory, record.CrashMemory{Start: r.Start, End: r.End})
		s.CrashBytes += r.Size()
	}
	if err := host.IomemErr; err != nil {
		s.MemoryError = err.Error()
	}
	if host.CrashLoaded != nil && *host.CrashLoaded && stateDir != "" {
		if state, err := record.Read(stateDir); err == nil {
			s.Noted = state
		}
	}
	return s
}
