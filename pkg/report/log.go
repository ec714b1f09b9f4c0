package report

import (
	"github.com/gokexec/gokexec/pkg/printk"
	"github.com/gokexec/gokexec/pkg/vmcore"
)

// tailLines is how many lines of the log a report has at most.
const tailLines = 200

// log fills in the end of the kernel log.
func (m *maker) log(dump vmcore.Memory) error {
	log, err := printk.Read(dump)
	if err != nil {
		return err
	}
	var stats printk.Stats
	var ring [tailLines][]byte
	n := 0
	for r := range log.Records(&stats) {
		line := &ring[n%tailLines]
		*line = printk.AppendText((*line)[:0], r)
		if r.HasTime {
			m.report.Kernel.Uptime = r.Time
		}
		n++
	}
	for i := max(0, n-tailLines); i < n; i++ {
		line := ring[i%tailLines]
		m.report.LogTail = append(m.report.LogTail, string(line[:len(line)-1]))
	}
	return nil
}
