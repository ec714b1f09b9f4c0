package store

import "time"

// Clock is the time of a capture kernel: that of its clock or, if that is behind (a dead battery, a machine without
// one), what the crashed kernel had, CRASHTIME in VMCOREINFO (kernel/vmcore_info.c, crash_save_vmcoreinfo), and the time
// since. sinceBoot is that of the capture kernel (CLOCK_BOOTTIME), which begins seconds after the crash. A zero crash is
// not known.
func Clock(now, crash time.Time, sinceBoot time.Duration) time.Time {
	if least := crash.Add(sinceBoot); !crash.IsZero() && now.Before(least) {
		return least
	}
	return now
}
