package dumpdir

import "time"

// Summary is what of result.json is needed by those that handle dumps of any age and version; capture.Result has all of it.
type Summary struct {
	// Outcome is complete, incomplete, log-only or failed.
	Outcome string `json:"outcome"`
	// CrashTime is when the crash was, by the crashed kernel's clock; CaptureTime when the capture began.
	CrashTime   *time.Time `json:"crash_time"`
	CaptureTime time.Time  `json:"capture_time"`
	// BuildID is that of the crashed kernel, in hexadecimal; "": not known.
	BuildID string `json:"build_id"`
	// Report names the crash, if the capture could make its report.
	Report Named `json:"report"`
}

// Named is what a report, in result.json or in [ReportJSON], calls the crash.
type Named struct {
	// Fingerprint is the same for the same fault on all machines; "": not known.
	Fingerprint string `json:"fingerprint"`
}
