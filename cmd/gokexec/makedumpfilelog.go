package main

import (
	"bufio"
	"io"

	"github.com/gokexec/gokexec/internal/makedumpfilecmd"
	"github.com/gokexec/gokexec/pkg/printk"
)

// dmesg writes the kernel log.
func (m *makedumpfileRun) dmesg() int {
	path := "STDOUT"
	if !m.inv.Flatten {
		path = m.inv.Outputs[0]
		if !m.absent(path) {
			return makedumpfilecmd.ExitFailed
		}
	}
	src, code := m.source(m.inv.Source)
	if code != makedumpfilecmd.ExitOK {
		return code
	}
	defer src.Close()
	m.showInfo(src)
	log, err := printk.Read(src)
	if err == nil && m.inv.Partial {
		log, err = log.SinceCleared()
	}
	if err != nil {
		return m.fail("%s: %v", m.inv.Source, err)
	}
	if err := m.writeLog(path, log); err != nil {
		m.common("\nCan't write the log file(%s). %s\n", path, strerror(err))
		return makedumpfilecmd.ExitFailed
	}
	m.common("\nThe dmesg log is saved to %s.\n", path)
	return makedumpfilecmd.ExitOK
}

// writeLog writes the text of the log to the file, or to the standard output.
func (m *makedumpfileRun) writeLog(path string, log *printk.Log) error {
	if m.inv.Flatten {
		return m.logTo(m.stdout, log)
	}
	f, ok := m.openOutput(path)
	if !ok {
		return errSaid
	}
	err := m.logTo(f, log)
	if serr := (&output{file: f}).sync(); err == nil {
		err = serr
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	return err
}

func (m *makedumpfileRun) logTo(w io.Writer, log *printk.Log) error {
	out := &failingWriter{w: w}
	buffer := bufio.NewWriter(out)
	stats, _ := printk.WriteTextCaller(buffer, log)
	if err := buffer.Flush(); err != nil {
		return err
	}
	if stats.Damaged > 0 {
		m.warn("%s: the log is damaged in %d places, the first: %v", m.inv.Source, stats.Damaged, stats.Err)
	}
	return out.err
}
