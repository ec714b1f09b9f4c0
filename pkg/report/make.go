package report

import (
	"context"
	"errors"

	"github.com/gokexec/gokexec/pkg/kallsyms"
	"github.com/gokexec/gokexec/pkg/object"
	"github.com/gokexec/gokexec/pkg/vmcore"
)

// cacheSize is how much of the dump is kept, in bytes.
const cacheSize = 1 << 20

// Make makes the report of a dump. It always returns one: what could not be made is in [Report.Missing]. When ctx is
// done, what is left to be made is missing. Whatever the dump holds, it takes some 3 MiB of memory at most, in addition
// to those of the dump's reader.
func Make(ctx context.Context, dump vmcore.Memory) *Report {
	m := newMaker(ctx, dump)
	m.part("kernel", m.info)
	m.part("log", m.log)
	m.noTypes = m.types()
	m.part("kernel", m.variables)
	m.part("modules", m.modules)
	m.stacks.prepare(m)
	m.part("cpus", m.cpus)
	m.part("tasks", m.tasks)
	m.part("memory", m.memory)
	m.part("slabs", m.slabs)
	m.part("processes", m.processes)
	m.part("hardware errors", m.hardwareErrors)
	m.conclude()
	return m.report
}

func newMaker(ctx context.Context, dump vmcore.Memory) *maker {
	return &maker{ctx: ctx, dump: bounded{dump, ctx}, report: &Report{Version: Version}, crashed: -1}
}

// maker is a report in the making.
type maker struct {
	ctx    context.Context
	dump   bounded
	report *Report

	mem     *vmcore.Reader // reads through a cache
	symbols *kallsyms.Table
	kernel  *object.Kernel
	noTypes error // why kernel is nil

	possible  []cpu // the CPUs that there may be
	crashed   int   // the CPU that panicked; -1: not known
	loaded    []loadedModule
	stacks    stackMaker
	sleepers  []sleeper    // the blocked tasks
	processed []memoryUser // the largest processes
	findings  logFindings

	eachThread func(object.Object) error // nil, or called with each thread
}

// part makes a part of the report, whose failure costs only itself.
func (m *maker) part(name string, do func() error) {
	err := m.ctx.Err()
	if err == nil {
		err = do()
	}
	if err != nil {
		m.missing(name, err)
	}
}

// missing notes why a part of the report is not there, or not all of it.
func (m *maker) missing(part string, err error) {
	reason := err.Error()
	if errors.Is(err, context.DeadlineExceeded) {
		reason = "the time for the report was over"
	}
	m.report.Missing = append(m.report.Missing, Missing{Part: part, Reason: reason})
}

// bounded is memory that can't be read any more when the time is over.
type bounded struct {
	vmcore.Memory
	ctx context.Context
}

func (b bounded) ReadVirtAt(p []byte, addr uint64) (int, error) {
	if err := b.ctx.Err(); err != nil {
		return 0, err
	}
	return b.Memory.ReadVirtAt(p, addr)
}
