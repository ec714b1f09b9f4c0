package dumpdir

import "time"

// TotalsName is the file with the totals of gokexec ship, beside the dumps.
const TotalsName = ".ship.json"

// Totals are the contents of that file, for metrics: what was done with the dumps since it is there.
type Totals struct {
	Bytes    int64 `json:"bytes"`
	Failures int64 `json:"failures"`
	Sent     int64 `json:"sent"`
	// Pending is how many dumps the last run has not finished, LastSuccess when that was none.
	Pending     int       `json:"pending"`
	LastSuccess time.Time `json:"last_success,omitzero"`
	LastRun     time.Time `json:"last_run"`
}
