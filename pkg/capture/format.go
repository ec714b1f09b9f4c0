package capture

import (
	"context"
	"fmt"
	"io"
	"strings"
)

// Format is the form in which the memory is saved.
type Format string

// FormatELF is the ELF core file as the kernel shows it, every page of it.
const FormatELF Format = "elf"

// format turns the old memory into the bytes of a dump.
type format interface {
	// size is the most that the dump can take, in bytes.
	size(*source) int64
	// write writes the dump and says what it could not read. An error wraps
	// errSource if the source ended, else it is the dump's. w is an io.WriterAt too
	// where what is written can be replaced (see dump). advance is called
	// with the number of bytes of the source that are done so far, and at least once for
	// every page of it: pages that the format leaves out are progress as well.
	write(ctx context.Context, w io.Writer, s *source, advance func(int64)) (pageLoss, error)
}

// namedFormat is a row of the table of formats.
type namedFormat struct {
	name Format
	make func() format
}

// formats is the table; the first row is the default.
func formats() []namedFormat {
	return []namedFormat{
		{FormatELF, func() format { return elfFormat{} }},
	}
}

// find looks a format up; "" is the default.
func (f Format) find() (format, error) {
	var names []string
	for _, row := range formats() {
		if f == row.name || f == "" {
			return row.make(), nil
		}
		names = append(names, string(row.name))
	}
	return nil, fmt.Errorf("format %q is not one of %s", f, strings.Join(names, ", "))
}
