package main

import (
	"context"
	"encoding/json"
	"path/filepath"
	"time"

	"github.com/gokexec/gokexec/pkg/capture"
)

// shipTotals are what gokexec ship has done with the dumps of a directory (pkg/ship, which is in another program).
type shipTotals struct {
	Bytes       int64     `json:"bytes"`
	Failures    int64     `json:"failures"`
	Sent        int64     `json:"sent"`
	Pending     int       `json:"pending"`
	LastSuccess time.Time `json:"last_success"`
}

// shipTotalsName is in a directory of dumps.
const shipTotalsName = ".ship.json"

// shipTotals adds up those of the targets; nil if nothing was shipped.
func (e *env) shipTotals(ctx context.Context, targets []capture.Target) *shipTotals {
	var all *shipTotals
	for _, t := range targets {
		if t.Place() == capture.OnDevice || t.Remote() {
			continue
		}
		dir, _, err := e.storage().Where(ctx, t)
		if err != nil {
			continue
		}
		b, err := readBounded(filepath.Join(e.sysroot, dir, shipTotalsName), maxResult)
		var one shipTotals
		if err != nil || json.Unmarshal(b, &one) != nil {
			continue
		}
		if all == nil {
			all = &shipTotals{LastSuccess: one.LastSuccess}
		}
		all.Bytes, all.Failures, all.Sent, all.Pending = all.Bytes+one.Bytes, all.Failures+one.Failures, all.Sent+one.Sent, all.Pending+one.Pending
		if one.LastSuccess.Before(all.LastSuccess) {
			all.LastSuccess = one.LastSuccess
		}
	}
	return all
}
