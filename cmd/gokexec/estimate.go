package main

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"os"
	"text/tabwriter"

	"github.com/spf13/pflag"

	"github.com/gokexec/gokexec/pkg/advice"
	"github.com/gokexec/gokexec/pkg/bootimage"
	"github.com/gokexec/gokexec/pkg/initramfs"
	"github.com/gokexec/gokexec/pkg/machine"
	"github.com/gokexec/gokexec/pkg/reservation"
)

// sizeOptions are what the memory that a capture needs depends on, beside the machine.
type sizeOptions struct {
	kernel, initrd string // "": what gokexec arm would load
	cpus           int    // 0: those of the configuration, or one
}

func estimateCommand() command {
	return command{
		name: "estimate", args: "[KERNEL]", acts: true,
		short: "tell how much memory crashkernel= must reserve on this machine",
		long: `Adds up what a capture of this machine needs: the kernel, the capture initramfs packed and
unpacked, what drivers, filter and compression took where it was measured, the CPUs of the capture
kernel, devices, larger pages, bounce buffers below 4 GiB, and a margin. It prints the crashkernel= that follows,
what is reserved now, and what distributions reserve by default on such a machine.

KERNEL and --initrd are what is to be loaded; by default what gokexec arm would load by gokexec.conf, or
where that can't be told the running kernel and a usual initramfs. What a physical machine takes beyond that is an estimate, not measured.

--shrink gives back the crash memory that is more than is recommended, through
/sys/kernel/kexec_crash_size, until the next boot. Nothing may be loaded meanwhile, so unload before and load
again after it. It never goes below the recommendation. Reading and writing that file takes the kernel's kexec
lock, which no other command does.`,
		exits: []exitCode{{exitOK, "it is told, and what is reserved is enough; with --shrink: memory was given back, or there was none to give back"},
			{exitFailure, "it can't be told, or memory can't be given back"},
			{exitStale, "what is reserved is too small, or nothing is"}},
		setup: func(flags *pflag.FlagSet) func(context.Context, *env, []string) error {
			var o sizeOptions
			flags.StringVar(&o.initrd, "initrd", "", "capture initramfs `FILE` that is to be loaded")
			flags.IntVar(&o.cpus, "cpus", 0, "`N` CPUs of the capture kernel; those of the configuration by default, or one")
			shrink := flags.Bool("shrink", false, "give back crash memory that is not needed, until the next boot")
			asJSON := flags.Bool("json", false, "report as JSON")
			sysroot := flags.String("sysroot", "", "read /proc and /sys under `DIR`, a collected tree")
			archName := flags.String("arch", "", "the tree is of a machine of architecture `NAME`")
			return func(ctx context.Context, e *env, args []string) error {
				switch {
				case len(args) > 1:
					return usageError("one KERNEL at most; there are %d arguments", len(args))
				case flags.Changed("cpus") && (o.cpus < 1 || o.cpus > maxCaptureCPUs):
					return usageError("--cpus %d: want 1 to %d", o.cpus, maxCaptureCPUs)
				case *shrink && *sysroot != "":
					return usageError("--shrink is about this machine; leave --sysroot out")
				}
				if len(args) == 1 {
					o.kernel = args[0]
				}
				arch, err := archOption(*archName)
				if err != nil {
					return err
				}
				if *shrink {
					return e.shrinkReservation(ctx, &o, *asJSON)
				}
				m, err := e.reservationMachine(ctx, *sysroot, arch, &o)
				if err != nil {
					return err
				}
				r := newReservationReport(m)
				if *asJSON {
					err = e.printJSON(r)
				} else {
					err = r.print(e.stdout)
				}
				if err == nil && r.Finding.Level != advice.OK {
					err = &exitError{code: exitStale}
				}
				return err
			}
		},
	}
}

// maxCaptureCPUs bounds --cpus: no kernel can have more (CONFIG_NR_CPUS).
const maxCaptureCPUs = 8192

// reservationMachine reads what a reservation depends on.
func (e *env) reservationMachine(ctx context.Context, sysroot string, arch machine.Arch, o *sizeOptions) (reservation.Machine, error) {
	root, err := e.tree(sysroot)
	if err != nil {
		return reservation.Machine{}, err
	}
	host, err := machine.ReadHost(root, arch)
	if err != nil {
		return reservation.Machine{}, err
	}
	if host.IomemErr != nil {
		return reservation.Machine{}, &advice.Problem{What: host.IomemErr.Error(), Hint: machine.ReadHint(host.IomemErr, ""), Err: host.IomemErr}
	}
	m := reservation.Of(root, host)
	if sysroot == "" && o.initrd == "" {
		e.sizeArmed(ctx, root, &m)
	}
	return o.apply(m)
}

// sizeArmed fills in what gokexec arm would load by the configuration; what can't be found out stays as it is: what
// is usual counts then.
func (e *env) sizeArmed(ctx context.Context, root fs.FS, m *reservation.Machine) {
	c, err := readConfig(root)
	if err != nil {
		return
	}
	quiet := *e // arm says what there is to say
	quiet.stderr = io.Discard
	spec, built, err := quiet.armSpec(ctx, c, &recipe{}, true)
	if err != nil {
		return
	}
	m.Packed, m.Unpacked, m.CPUs = uint64(built.Size), uint64(built.Unpacked), spec.CPUs
	if size, err := imageMemory(spec.Kernel.Path); err == nil && size > 0 {
		m.Image = size
	}
}

// apply fills in what is named.
func (o *sizeOptions) apply(m reservation.Machine) (_ reservation.Machine, err error) {
	if o.cpus > 0 {
		m.CPUs = o.cpus
	}
	if o.kernel != "" {
		if m.Image, err = imageMemory(o.kernel); err != nil {
			return m, err
		}
	}
	if o.initrd != "" {
		m.Packed, m.Unpacked, err = initrdMemory(o.initrd)
	}
	return m, err
}

// imageMemory is what a kernel needs to start, in bytes.
func imageMemory(name string) (uint64, error) {
	f, err := os.Open(name)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	image, err := bootimage.Open(f, info.Size())
	if err != nil {
		return 0, fmt.Errorf("%s: %w", name, err)
	}
	return image.MemSize, nil
}

// initrdMemory is the size of an initramfs, and of what is in it, in bytes.
func initrdMemory(name string) (packed, unpacked uint64, err error) {
	f, err := os.Open(name)
	if err != nil {
		return 0, 0, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return 0, 0, err
	}
	contents, err := initramfs.Read(f, maxInitrd)
	if err != nil {
		return 0, 0, fmt.Errorf("%s: %w", name, err)
	}
	return uint64(info.Size()), contents.Unpacked, nil
}

// reservationReport is what estimate --json prints. Sizes are in bytes.
type reservationReport struct {
	Crashkernel []string              `json:"crashkernel"` // words of a kernel command line
	Bytes       uint64                `json:"recommended_bytes"`
	Need        uint64                `json:"needed_bytes"` // without the margin
	Reserved    uint64                `json:"reserved_bytes"`
	Spare       uint64                `json:"spare_bytes"` // what --shrink can give back
	Parts       []reservation.Part    `json:"parts"`
	Defaults    []reservation.Default `json:"defaults"`
	Finding     advice.Finding        `json:"finding"`
}

func newReservationReport(m reservation.Machine) *reservationReport {
	size := reservation.Recommend(m)
	_, reserved := m.Reserved()
	return &reservationReport{Crashkernel: size.Words(), Bytes: size.Bytes, Need: m.Need(), Reserved: reserved, Spare: reservation.Spare(m),
		Parts: m.Parts(), Defaults: reservation.Defaults(m), Finding: reservation.Check(m)}
}

func (r *reservationReport) print(out io.Writer) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	for _, p := range r.Parts {
		fmt.Fprintf(w, "%s\t%s\t%s\n", p.Name, advice.MiB(p.Bytes), p.Why)
	}
	fmt.Fprintf(w, "needed\t%s\n", advice.MiB(r.Need))
	fmt.Fprintf(w, "recommended\t%s\twith a margin\n", advice.MiB(r.Bytes))
	if r.Reserved > 0 {
		fmt.Fprintf(w, "reserved now\t%s\t%s\n", advice.MiB(r.Reserved), r.Finding.Level)
	} else {
		fmt.Fprintf(w, "reserved now\tnothing\n")
	}
	fmt.Fprintf(w, "\ndistribution\ton this machine\tcrashkernel=\n")
	for _, d := range r.Defaults {
		fmt.Fprintf(w, "%s\t%s\t%s\n", d.Name, advice.MiB(d.Bytes), d.Value)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	fmt.Fprintln(out)
	for _, word := range r.Crashkernel {
		fmt.Fprintln(out, word)
	}
	return nil
}
