package main

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"os"

	"github.com/spf13/pflag"

	"github.com/gokexec/gokexec/internal/recordfs"
	"github.com/gokexec/gokexec/pkg/config"
	"github.com/gokexec/gokexec/pkg/kcore"
	"github.com/gokexec/gokexec/pkg/machine"
)

// collectLimit bounds what is kept of each file. The program headers and notes of
// /proc/kcore lie well below it, the memory itself above.
const collectLimit = 8 << 20

func collectCommand() command {
	return command{
		name: "collect", args: "FILE",
		short: "record what loads are planned from, to study it on another machine",
		long: `Writes a tar archive of those files of /proc and /sys that a load on this machine is
planned from: the memory map, CPUs, firmware tables, kernel settings, the program
headers of /proc/kcore, but no memory contents. FILE may be - for standard output. Run
it as root: the kernel hides addresses from other users.

Unpack the archive anywhere and pass the directory to load --dry-run, elfcorehdr build or
memmap with --sysroot. To report a wrong plan, send the archive with their output. It
contains the kernel's command line and its addresses (which KASLR keeps secret until the
next boot): read it before you publish it.`,
		setup: func(flags *pflag.FlagSet) func(context.Context, *env, []string) error {
			arch := flags.String("arch", "", "the machine is of architecture `NAME`, not of this one's")
			return func(_ context.Context, e *env, args []string) error {
				if len(args) != 1 {
					return usageError("collect takes one FILE to write, or - for standard output")
				}
				a, err := archOption(*arch)
				if err != nil {
					return err
				}
				return e.collect(a, args[0])
			}
		},
	}
}

func (e *env) collect(arch machine.Arch, path string) error {
	record := recordfs.New(os.DirFS(e.sysroot), collectLimit)
	host, err := machine.ReadHost(record, arch)
	if err != nil {
		return err
	}
	if err := host.IomemErr; err != nil {
		return headerProblem(err)
	}
	// For the reader of a report, and for other programs that plan.
	for _, name := range []string{
		"proc/version", "sys/devices/system/cpu/possible", "sys/devices/system/cpu/present", "sys/devices/system/cpu/online",
		"sys/devices/system/memory/block_size_bytes", "sys/kernel/boot_params/data",
	} {
		_, _ = fs.ReadFile(record, name) // not on every machine
	}
	if kcore, err := kcore.OpenKcore(record, host.Iomem); err == nil {
		_, _ = kcore.VMCoreInfo() // older kernels have none in there
		kcore.Close()
	}
	_, _ = config.Read(record) // for gokexec config --sysroot
	report := e.reportOn(path)
	if _, err := writeOutput(e, path, privateFile, func(w io.Writer) (int, error) { return 0, record.WriteTar(w) }); err != nil {
		return err
	}
	if report == e.stdout {
		fmt.Fprintf(report, "%s: the machine as it is now; unpack it, and give the directory to --sysroot\n", path)
	}
	return nil
}
