package report

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"strings"

	"github.com/gokexec/gokexec/pkg/oops"
)

// maxLogSize bounds the log that FromLog reads, in bytes.
const maxLogSize = 64 << 20

// FromLog makes a report of a kernel log alone, as dmesg.txt of a dump, a serial console or pstore has it. The error
// wraps [oops.ErrNone] where the log tells of no crash; the report then has its end.
func FromLog(log io.Reader) (*Report, error) {
	data, err := io.ReadAll(io.LimitReader(log, maxLogSize+1))
	if err != nil {
		return nil, err
	}
	if len(data) > maxLogSize {
		return nil, fmt.Errorf("the log is larger than %d bytes", maxLogSize)
	}
	crash, err := oops.Read(bytes.NewReader(data))
	if err != nil && !errors.Is(err, oops.ErrNone) {
		return nil, err
	}
	m := newMaker(context.Background(), nil)
	first := 0
	if err == nil {
		first = max(0, crash.Line-tailBefore)
		m.findings.crash = crash
		m.report.Kernel.Release = printable(crash.Release)
		m.report.Kernel.Uptime = max(crash.Time, 0)
		m.conclude()
	}
	m.tail(linesOf(string(data)), first)
	m.report.Missing = append(m.report.Missing, Missing{Part: "what the memory tells", Reason: "the report is made of the log alone"})
	return m.report, err
}

// linesOf gives the lines of a log, whichever way they end.
func linesOf(log string) iter.Seq[string] {
	return func(yield func(string) bool) {
		for line := range strings.Lines(log) {
			if !yield(strings.TrimRight(line, "\r\n")) {
				return
			}
		}
	}
}
