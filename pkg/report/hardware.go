package report

import (
	"fmt"
	"strings"

	"github.com/gokexec/gokexec/pkg/btf"
)

// hardwareErrors fills in the recoverable hardware errors that the kernel counted (include/linux/vmcore_info.h,
// kernel/vmcore_info.c: hwerr_data, Linux 6.18). A kernel that doesn't count them misses nothing.
func (m *maker) hardwareErrors() error {
	if m.symbols == nil {
		return m.noTypes
	}
	addr, ok := m.symbols.Symbol("hwerr_data")
	if !ok {
		return nil
	}
	if m.kernel == nil {
		return m.noTypes
	}
	info, err := m.kernel.At("hwerr_info", addr)
	if err != nil {
		return err
	}
	kinds, err := m.kernel.Types.Type("hwerr_error_type")
	if err != nil {
		return err
	}
	names, err := m.kernel.Types.Enum(kinds)
	if err != nil {
		return err
	}
	for _, e := range names {
		if !isKind(e) {
			continue
		}
		at := info
		at.Address += uint64(e.Value) * info.Field.Size
		n, err := at.Uint("count.counter")
		if err != nil {
			return fmt.Errorf("%s: %w", e.Name, err)
		}
		if n == 0 {
			continue
		}
		sec, err := at.Int("timestamp")
		if err != nil {
			return fmt.Errorf("%s: %w", e.Name, err)
		}
		m.report.HardwareErrors = append(m.report.HardwareErrors, HardwareError{
			Kind:  strings.ToLower(strings.TrimPrefix(e.Name, "HWERR_RECOV_")),
			Count: n,
			Last:  clock(sec),
		})
	}
	return nil
}

// isKind tells the kinds of errors from their number, which comes last.
func isKind(e btf.Enumerator) bool {
	return e.Value >= 0 && e.Value < 64 && !strings.HasSuffix(e.Name, "_MAX")
}
