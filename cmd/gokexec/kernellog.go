package main

import (
	"fmt"
	"os"
)

// Levels of the kernel's log (include/linux/kern_levels.h).
const (
	kernelError   = 3
	kernelWarning = 4
	kernelInfo    = 6
)

// reportEvent reports to stderr and to the kernel log.
func (e *env) reportEvent(loud bool, line string) {
	level := kernelInfo
	if loud {
		level = kernelError
	}
	fmt.Fprintln(e.stderr, "gokexec:", oneLine(line))
	e.kernelLog(level, line)
}

// maxKernelLine is less than the kernel takes of one line (kernel/printk/printk.c,
// PRINTKRB_RECORD_MAX).
const maxKernelLine = 900

// kernelLog writes a line to /dev/kmsg. Errors are ignored; the message is also on
// stderr.
func (e *env) kernelLog(level int, line string) {
	if e.kmsg == "" {
		return
	}
	f, err := os.OpenFile(e.kmsg, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		return
	}
	defer f.Close()
	line = oneLine(line)
	_, _ = fmt.Fprintf(f, "<%d>gokexec: %s\n", level, line[:min(len(line), maxKernelLine)])
}
