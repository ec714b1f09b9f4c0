package main

import (
	"fmt"
	"io"
	"os"
)

// stdout remembers the first error of the standard output: a full disk, a reader that has
// exited.
type stdout struct {
	io.Writer
	err error
}

func (s *stdout) Write(b []byte) (int, error) {
	n, err := s.Writer.Write(b)
	if err != nil && s.err == nil {
		s.err = err
	}
	return n, err
}

// checked runs a command, and fails if its output is lost. The exit code of a command that
// acts on the machine reports that action, whether or not the output could be written.
func (e *env) checked(acts bool, command func(e *env) int) int {
	out := &stdout{Writer: e.stdout}
	own := *e
	own.stdout = out
	code := command(&own)
	if out.err == nil || code != exitOK {
		return code
	}
	fmt.Fprintf(e.stderr, "gokexec: write to the standard output: %v\n", cause(out.err))
	if acts {
		return code
	}
	return exitFailure
}

// printed is the error of the standard output, for commands that only print.
func (e *env) printed() error {
	if out, ok := e.stdout.(*stdout); ok && out.err != nil {
		return fmt.Errorf("write to the standard output: %w", cause(out.err))
	}
	return nil
}

// stdoutFile is the standard output, unless a test has put something else there.
func (e *env) stdoutFile() (*os.File, bool) {
	w := e.stdout
	if out, ok := w.(*stdout); ok {
		w = out.Writer
	}
	f, ok := w.(*os.File)
	return f, ok
}

// reportOn is where a command reports what it wrote to the file path: not on the standard output if that
// is the file. (On a terminal or /dev/null that does no harm.)
func (e *env) reportOn(path string) io.Writer {
	if path == "-" {
		return e.stderr
	}
	f, ok := e.stdoutFile()
	if !ok {
		return e.stdout
	}
	to, err := os.Stat(path)
	if err != nil {
		return e.stdout
	}
	if out, err := f.Stat(); err == nil && os.SameFile(to, out) && out.Mode()&os.ModeCharDevice == 0 {
		return e.stderr
	}
	return e.stdout
}
