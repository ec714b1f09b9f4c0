package capture

import (
	"errors"
	"fmt"
	"io"

	"github.com/gokexec/gokexec/pkg/elfcore"
	"github.com/gokexec/gokexec/pkg/printk"
)

// errEmptyLog means that the log's place was found, and nothing in it.
var errEmptyLog = errors.New("no records found")

// kernelLog is a log known to be readable. Its text stays in the dump and is read
// again for each target, since its size is up to the crashed kernel.
type kernelLog struct {
	log     *printk.Log
	records int
	damage  []error
}

func readKernelLog(core *elfcore.File) (*kernelLog, error) {
	log, err := printk.Read(core)
	if err != nil {
		return nil, err
	}
	l := &kernelLog{log: log}
	var count countingWriter
	stats, err := printk.WriteText(&count, log)
	if err != nil {
		return nil, err
	}
	if count == 0 {
		return nil, errors.Join(errEmptyLog, stats.Err)
	}
	l.records = int(stats.Records)
	if stats.Err != nil {
		l.damage = append(l.damage, fmt.Errorf("%d damaged places, first: %w", stats.Damaged, stats.Err))
	}
	return l, nil
}

// write writes the text. A bug that the log brings out must not cost the dump.
func (l *kernelLog) write(w io.Writer) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = panicError("kernel log", p)
		}
	}()
	_, err = printk.WriteText(w, l.log)
	return err
}

type countingWriter int64

func (c *countingWriter) Write(p []byte) (int, error) {
	*c += countingWriter(len(p))
	return len(p), nil
}
