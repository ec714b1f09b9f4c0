package dumpdir

import "time"

// TotalsName is the file with what gokexec ship has done, in the directory of the dumps.
const TotalsName = ".ship.json"

// Totals is the contents of that file, for metrics.
type Totals struct {
	Bytes       int64     `json:"bytes"` // sent
	Failures    int64     `json:"failures"`
	Sent        int64     `json:"sent"`    // dumps
	Pending     int       `json:"pending"` // dumps that the last run has not finished
	LastSuccess time.Time `json:"last_success,omitzero"`
	LastRun     time.Time `json:"last_run,omitzero"`
}
