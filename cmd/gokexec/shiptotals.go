package main

import (
	"context"
	"encoding/json"
	"path/filepath"

	"github.com/gokexec/gokexec/pkg/capture"
	"github.com/gokexec/gokexec/pkg/dumpdir"
)

// shipTotals adds up what gokexec ship has done with the dumps of the targets; nil if nothing was shipped.
func (e *env) shipTotals(ctx context.Context, targets []capture.Target) *dumpdir.Totals {
	var all *dumpdir.Totals
	for _, t := range targets {
		if t.Place() == capture.OnDevice || t.Remote() {
			continue
		}
		dir, _, err := e.storage().Where(ctx, t)
		if err != nil {
			continue
		}
		b, err := readBounded(filepath.Join(e.sysroot, dir, dumpdir.TotalsName), dumpdir.MaxJSON)
		var one dumpdir.Totals
		if err != nil || json.Unmarshal(b, &one) != nil {
			continue
		}
		if all == nil {
			all = &dumpdir.Totals{LastSuccess: one.LastSuccess}
		}
		all.Bytes, all.Failures, all.Sent, all.Pending = all.Bytes+one.Bytes, all.Failures+one.Failures, all.Sent+one.Sent, all.Pending+one.Pending
		if one.LastSuccess.Before(all.LastSuccess) {
			all.LastSuccess = one.LastSuccess
		}
	}
	return all
}
