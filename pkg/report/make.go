package report

import (
	"context"

	"github.com/gokexec/gokexec/pkg/vmcore"
)

// Make makes the report of a dump. It always returns one: what could not be made is in [Report.Missing]. When ctx is
// done, what is left to be made is missing. The memory that it takes is bounded, whatever the dump holds.
func Make(ctx context.Context, dump vmcore.Memory) *Report {
	m := &maker{ctx: ctx, report: &Report{Version: Version}}
	m.part("kernel", func() error { return m.kernel(dump) })
	m.part("log", func() error { return m.log(dump) })
	return m.report
}

// maker is a report in the making.
type maker struct {
	ctx    context.Context
	report *Report
}

// part makes a part of the report, whose failure costs only itself.
func (m *maker) part(name string, do func() error) {
	err := m.ctx.Err()
	if err == nil {
		err = do()
	}
	if err != nil {
		m.report.Missing = append(m.report.Missing, Missing{Part: name, Reason: err.Error()})
	}
}
