package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/pflag"

	"github.com/gokexec/gokexec/pkg/advice"
	"github.com/gokexec/gokexec/pkg/elfcore"
	"github.com/gokexec/gokexec/pkg/kcore"
	"github.com/gokexec/gokexec/pkg/memmap"
	"github.com/gokexec/gokexec/pkg/record"
)

// maxHeaderFile bounds what is read as a header: the largest, of 65534 program
// headers, has 3.5 MiB.
const maxHeaderFile = 4 << 20

func elfcorehdrCommand() command {
	return command{
		name: "elfcorehdr", args: "build|show [FILE]",
		short: "build an elfcorehdr, or show one",
		long: `An elfcorehdr tells the capture kernel where the memory of the crashed kernel is: its
/proc/vmcore is made from it.

build makes the header that a load by kexec_load would, without the backup of low
memory, from /proc/iomem and /proc/kcore, and prints it or writes it to a file.

show prints the one in FILE or, with --loaded, the one in the kernel's crash memory
right now, whoever loaded it and however often the kernel has updated it since. It is
read through /proc/kcore; no kernel lock is taken.`,
		exits: []exitCode{{exitNotLoaded, "--loaded: there is no header to show"}, {exitUnknown, "--loaded: the crash memory can't be read"}},
		setup: func(flags *pflag.FlagSet) func(context.Context, *env, []string) error {
			o := &headerOptions{}
			flags.StringVarP(&o.output, "output", "o", "", "build: write the header to `FILE`, - for standard output")
			flags.BoolVar(&o.loaded, "loaded", false, "show: the header that is loaded")
			flags.BoolVar(&o.json, "json", false, "report as JSON")
			flags.StringVar(&o.sysroot, "sysroot", "", "read /proc and /sys under `DIR`, a collected tree")
			return o.run
		},
	}
}

type headerOptions struct {
	output, sysroot string
	loaded, json    bool
}

func (o *headerOptions) run(_ context.Context, e *env, args []string) error {
	if len(args) == 0 {
		return usageError("give one of build and show")
	}
	switch verb, rest := args[0], args[1:]; {
	case verb == "build" && len(rest) == 0 && !o.loaded:
		return o.build(e)
	case verb == "show" && o.output == "" && o.loaded && len(rest) == 0:
		return o.showLoaded(e)
	case verb == "show" && o.output == "" && !o.loaded && len(rest) == 1:
		return o.showFile(e, rest[0])
	case verb == "show":
		return usageError("show takes one FILE, or --loaded")
	case verb == "build":
		return usageError("build takes no FILE and no --loaded; -o names the output")
	default:
		return usageError("%q is neither build nor show", verb)
	}
}

func (o *headerOptions) build(e *env) error {
	root, err := e.tree(o.sysroot)
	if err != nil {
		return err
	}
	machine, err := kcore.ReadMachine(root)
	if err != nil {
		return headerProblem(err)
	}
	header, err := machine.Header(elfcore.BuildOptions{})
	if err != nil {
		return headerProblem(err)
	}
	if o.output != "" {
		b, err := header.AppendBinary(nil)
		if err != nil {
			return err
		}
		to := e.reportOn(o.output)
		if _, err := writeOutput(e, o.output, privateFile, func(w io.Writer) (int, error) { return w.Write(b) }); err != nil {
			return err
		}
		if !o.json {
			fmt.Fprintf(to, "%s: %d bytes\n", o.output, len(b))
			return nil
		}
		return writeJSON(to, newHeaderReport(header, 0))
	}
	return o.report(e, newHeaderReport(header, 0))
}

func (o *headerOptions) showFile(e *env, path string) error {
	f, err := os.Open(path)
	if err != nil {
		return fileProblem("elfcorehdr", err)
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxHeaderFile))
	if err != nil {
		return fileProblem("elfcorehdr", err)
	}
	header, err := elfcore.ParseHeader(b)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return o.report(e, newHeaderReport(header, 0))
}

func (o *headerOptions) showLoaded(e *env) error {
	var hint memmap.PhysAddr
	if state, err := record.Read(e.stateDir); err == nil && o.sysroot == "" {
		hint = state.Elfcorehdr
	}
	root, err := e.tree(o.sysroot)
	if err != nil {
		return err
	}
	header, at, err := kcore.ReadLoaded(root, hint)
	switch {
	case errors.Is(err, kcore.ErrNoCrashKernel), errors.Is(err, kcore.ErrNoHeader):
		return &exitError{code: exitNotLoaded, err: headerProblem(err)}
	case err != nil:
		return &exitError{code: exitUnknown, err: headerProblem(err)}
	}
	return o.report(e, newHeaderReport(header, at))
}

func headerProblem(err error) error {
	p := &advice.Problem{What: err.Error(), Err: err}
	switch {
	case errors.Is(err, memmap.ErrAddressesHidden), errors.Is(err, os.ErrPermission):
		p.Hint = "run as root"
	case errors.Is(err, kcore.ErrKcoreUnreadable):
		p.Hint = "the kernel needs CONFIG_PROC_KCORE, must not be locked down for confidentiality, and the reader be root"
	case errors.Is(err, kcore.ErrNoCrashKernel):
		p.Hint = "boot with crashkernel=256M"
	case errors.Is(err, kcore.ErrNoHeader):
		p.Hint = "gokexec load --crash loads one"
	}
	return p
}

func (o *headerOptions) report(e *env, r *headerReport) error {
	if o.json {
		return e.printJSON(r)
	}
	r.print(e.stdout)
	return nil
}

// headerReport is an elfcorehdr. Addresses are physical but for Virt; ends are
// exclusive.
type headerReport struct {
	Address    uint64     `json:"address,omitempty"` // where it is; 0: in no memory
	Machine    string     `json:"machine"`
	Size       uint64     `json:"size_bytes"`
	CPUNotes   []noteLine `json:"cpu_notes"`
	VMCoreInfo noteLine   `json:"vmcoreinfo"`
	Loads      []loadLine `json:"loads"`
	Total      uint64     `json:"memory_bytes"` // no byte counted twice
}

type noteLine struct {
	Start uint64 `json:"start"`
	Size  uint64 `json:"size_bytes"`
}

type loadLine struct {
	Start uint64 `json:"start"`
	End   uint64 `json:"end"`
	Virt  uint64 `json:"virtual_address"`
	From  uint64 `json:"read_from"` // differs from Start for what is backed up
}

func newHeaderReport(h *elfcore.Header, at memmap.PhysAddr) *headerReport {
	r := &headerReport{Address: uint64(at), Machine: h.Machine.String(), Size: h.Size(),
		VMCoreInfo: noteLine{uint64(h.VMCoreInfo.Addr), h.VMCoreInfo.Size}, Total: h.Coverage().Size(), CPUNotes: []noteLine{}, Loads: []loadLine{}}
	for _, n := range h.CPUNotes {
		r.CPUNotes = append(r.CPUNotes, noteLine{uint64(n.Addr), n.Size})
	}
	for _, l := range h.Loads {
		r.Loads = append(r.Loads, loadLine{uint64(l.Phys), uint64(l.Phys) + l.MemSize, l.Virt, l.Offset})
	}
	return r
}

func (r *headerReport) print(w io.Writer) {
	fmt.Fprintf(w, "  %s, %d bytes", r.Machine, r.Size)
	if r.Address != 0 {
		fmt.Fprintf(w, " at %#x", r.Address)
	}
	fmt.Fprintf(w, ", %d CPUs, %d ranges, %d MiB of memory\n", len(r.CPUNotes), len(r.Loads), r.Total>>20)
	for _, n := range r.CPUNotes {
		fmt.Fprintf(w, "  cpu notes   %#012x  %d bytes\n", n.Start, n.Size)
	}
	fmt.Fprintf(w, "  vmcoreinfo  %#012x  %d bytes\n", r.VMCoreInfo.Start, r.VMCoreInfo.Size)
	for _, l := range r.Loads {
		from := ""
		if l.From != l.Start {
			from = fmt.Sprintf("  read from %#x", l.From)
		}
		fmt.Fprintf(w, "  memory      [%#x-%#x)  at %#x%s\n", l.Start, l.End, l.Virt, from)
	}
}
