package kexeccmd

import (
	"fmt"
	"slices"

	"github.com/gokexec/gokexec/internal/getopt"
)

// Option is an option of kexec(8).
type Option struct {
	Name   string // of the long option, without dashes
	Letter byte   // the short option; 0: none
	Value  string // the name of its argument in the manual; "": it has none
	Help   string

	// Loader: it applies to a load. Without a load kexec-tools refuses it and prints its
	// usage.
	Loader bool

	id int
}

// The options without a letter; others have theirs.
const (
	optMemMin = 256 + iota
	optMemMax
	optReuseInitrd
	optPreserveContext
	optJumpBackHelper
	optEntry
	optCrashSize
	optLoadLiveUpdate
	optExecLiveUpdate
	optHotplug
	optNoCMA
	optForceDTB
	optResetVGA
	optSerial
	optSerialBaud
	optConsoleVGA
	optConsoleSerial
	optELF32Core
	optELF64Core
	optPassMemmap
	optNoEFI
	optReuseVideo
	optAppend
	optBase // --command-line where it is not another name of --append
	optReuseCmdline
	optInitrd
	optArgsELF
	optArgsLinux
	optArgsNone
	optModule
	optRealMode
	optEntry32
	optDTB
	optNoOldRoot
	optATags
	optImageSize
	optPageOffset
)

// Letters is the string that getopt(3) takes.
const letters = "h?vdfixyluet:pscaS"

// common are the options of all architectures, in the order of kexec-tools, which
// messages about ambiguous options show.
func common() []Option {
	return []Option{
		{Name: "help", Letter: 'h', Help: "print this help"},
		{Name: "version", Letter: 'v', Help: "print the version"},
		{Name: "force", Letter: 'f', Help: "load, and jump at once: no shutdown(8)"},
		{Name: "no-checks", Letter: 'i', Help: "by kexec_load: start the kernel without checking its digest"},
		{Name: "no-ifdown", Letter: 'x', Help: "leave network interfaces up before the jump"},
		{Name: "no-sync", Letter: 'y', Help: "don't sync filesystems before the jump"},
		{Name: "load", Letter: 'l', Help: "load the kernel, and do nothing else"},
		{Name: "unload", Letter: 'u', Help: "unload the kernel; with -p, the crash kernel"},
		{Name: "exec", Letter: 'e', Help: "jump into the kernel that is loaded"},
		{Name: "exec-live-update", id: optExecLiveUpdate, Help: "Xen only: jump, and keep the state for a live update"},
		{Name: "load-preserve-context", id: optPreserveContext, Help: "keep the running kernel, to return to it (kexec jump)"},
		{Name: "load-jump-back-helper", id: optJumpBackHelper, Help: "load the helper that jumps back to the original kernel"},
		{Name: "load-live-update", id: optLoadLiveUpdate, Help: "Xen only: load over the running one"},
		{Name: "entry", id: optEntry, Value: "ADDR", Help: "by kexec_load: physical address to jump to"},
		{Name: "type", Letter: 't', Value: "TYPE", Help: "by kexec_load: the kernel is of this type"},
		{Name: "load-panic", Letter: 'p', Help: "load the kernel that a panic starts"},
		{Name: "mem-min", id: optMemMin, Value: "ADDR", Help: "by kexec_load: lowest physical address to load to"},
		{Name: "mem-max", id: optMemMax, Value: "ADDR", Help: "by kexec_load: highest physical address to load to"},
		{Name: "reuseinitrd", id: optReuseInitrd, Help: "use the initrd that the running kernel was started with and has kept"},
		{Name: "kexec-file-syscall", Letter: 's', Help: "by kexec_file_load only: the kernel reads the files, and checks signatures"},
		{Name: "kexec-syscall", Letter: 'c', Help: "by kexec_load only"},
		{Name: "kexec-syscall-auto", Letter: 'a', Help: "by kexec_file_load, and by kexec_load where the kernel has none or does not take the image (default)"},
		{Name: "debug", Letter: 'd', Help: "say on stderr what is done, and have the kernel log it"},
		{Name: "status", Letter: 'S', Help: "exit with 1 if a crash kernel (with -l: a kernel for -e) is loaded, with 0 if not"},
		{Name: "print-ckr-size", id: optCrashSize, Help: "print the size of the memory for the crash kernel, in bytes"},
		{Name: "hotplug", id: optHotplug, Help: "by kexec_load: have the kernel update the crash kernel when CPUs or memory are hot-added or hot-removed, or fail"},
		{Name: "no-cma", id: optNoCMA, Help: "by kexec_file_load: place nothing in CMA memory (Linux 6.17)"},
		{Name: "force-dtb", id: optForceDTB, Help: "by kexec_file_load on x86: hand the device tree on (Linux 6.18)"},
	}
}

// The options of loaders that most architectures share.
var (
	appendOption  = Option{Name: "append", id: optAppend, Value: "TEXT", Help: "kernel command line"}
	cmdlineOption = Option{Name: "command-line", id: optAppend, Value: "TEXT", Help: "the same as --append"}
	reuseOption   = Option{Name: "reuse-cmdline", id: optReuseCmdline, Help: "put the running kernel's command line first, without BOOT_IMAGE and, with -p, crashkernel"}
	initrdOption  = Option{Name: "initrd", id: optInitrd, Value: "FILE", Help: "initial ramdisk"}
	ramdiskOption = Option{Name: "ramdisk", id: optInitrd, Value: "FILE", Help: "the same as --initrd"}
	dtbOption     = Option{Name: "dtb", id: optDTB, Value: "FILE", Help: "by kexec_load: device tree to hand over instead of the running kernel's"}
	oldRootOption = Option{Name: "dt-no-old-root", id: optNoOldRoot, Help: "take no root= over from the old device tree"}
)

// inLoader marks options of a loader.
func inLoader(options ...Option) []Option {
	for i := range options {
		options[i].Loader = true
	}
	return options
}

func x86Options() []Option {
	return append([]Option{
		{Name: "reset-vga", id: optResetVGA, Help: "reset a VGA card"},
		{Name: "serial", id: optSerial, Value: "PORT", Help: "serial port for --console-serial: ttyS0, ttyS1 or 0x with an I/O port (default 0x3f8)"},
		{Name: "serial-baud", id: optSerialBaud, Value: "RATE", Help: "its speed, 9600 to 115200"},
		{Name: "console-vga", id: optConsoleVGA, Help: "report on a VGA card"},
		{Name: "console-serial", id: optConsoleSerial, Help: "by kexec_load: report a wrong digest on the serial port"},
		{Name: "elf32-core-headers", id: optELF32Core, Help: "describe the dump in 32-bit ELF"},
		{Name: "elf64-core-headers", id: optELF64Core, Help: "describe the dump in 64-bit ELF (always so)"},
	}, inLoader(
		Option{Name: "pass-memmap-cmdline", id: optPassMemmap, Help: "by kexec_load, with -p: pass the memory map on the command line"},
		Option{Name: "noefi", id: optNoEFI, Help: "by kexec_load: tell the new kernel nothing of EFI"},
		Option{Name: "reuse-video-type", id: optReuseVideo, Help: "take the running kernel's video mode over (always so)"},
		cmdlineOption, appendOption, reuseOption, initrdOption, ramdiskOption,
		Option{Name: "args-elf", id: optArgsELF, Help: "pass ELF boot notes to an ELF program"},
		Option{Name: "args-linux", id: optArgsLinux, Help: "pass what Linux takes to an ELF kernel (default)"},
		Option{Name: "args-none", id: optArgsNone, Help: "pass nothing to an ELF program"},
		Option{Name: "module", id: optModule, Value: "\"FILE ARGS\"", Help: "module of a multiboot kernel"},
		Option{Name: "real-mode", id: optRealMode, Help: "enter the kernel in real mode"},
		Option{Name: "entry-32bit", id: optEntry32, Help: "enter the kernel in 32-bit mode"},
		dtbOption)...)
}

func arm64Options() []Option {
	serial := Option{Name: "serial", id: optSerial, Value: "NAME", Help: "by kexec_load: terminal, such as ttyAMA0, on which a wrong digest is reported"}
	return []Option{appendOption, cmdlineOption, dtbOption, initrdOption, serial, ramdiskOption, reuseOption}
}

func riscvOptions() []Option {
	base := Option{Name: "command-line", id: optBase, Value: "TEXT", Help: "kernel command line; that of --append follows it"}
	return []Option{appendOption, dtbOption, initrdOption, base, reuseOption}
}

func loongArchOptions() []Option {
	return []Option{appendOption, cmdlineOption, initrdOption, ramdiskOption, reuseOption}
}

func ppc64Options() []Option {
	tree := dtbOption
	tree.Name = "devicetreeblob"
	return append([]Option{{Name: "elf64-core-headers", id: optELF64Core, Help: "describe the dump in 64-bit ELF (always so)"}, oldRootOption},
		inLoader(cmdlineOption, appendOption, ramdiskOption, initrdOption, tree, dtbOption,
			Option{Name: "args-linux", id: optArgsLinux, Help: "no effect"}, reuseOption)...)
}

func s390Options() []Option {
	return inLoader(cmdlineOption, appendOption, initrdOption, reuseOption)
}

func armOptions() []Option {
	return append([]Option{oldRootOption}, inLoader(cmdlineOption, appendOption, initrdOption, ramdiskOption, dtbOption,
		Option{Name: "atags", id: optATags, Help: "pass ATAGs, no device tree"},
		Option{Name: "image-size", id: optImageSize, Value: "BYTES", Help: "memory that the kernel takes"},
		Option{Name: "page-offset", id: optPageOffset, Value: "ADDR", Help: "where the kernel maps RAM"})...)
}

// Options returns the options of kexec(8) on an architecture.
func Options(arch string) ([]Option, error) {
	own := archOf(arch).options
	if own == nil {
		return nil, fmt.Errorf("the options of kexec for %q are not known; they are for %v", arch, Arches())
	}
	options := append(common(), own()...)
	for i := range options {
		if options[i].Letter != 0 {
			options[i].id = int(options[i].Letter)
		}
	}
	return options, nil
}

// set makes getopt's tables.
func set(options []Option, posix bool) *getopt.Set {
	s := &getopt.Set{Short: letters, POSIX: posix}
	for _, o := range options {
		arg := getopt.No
		if o.Value != "" {
			arg = getopt.Required
		}
		s.Long = append(s.Long, getopt.Long{Name: o.Name, Arg: arg, Val: o.id})
	}
	return s
}

func isLoaderOption(options []Option, id int) bool {
	return slices.ContainsFunc(options, func(o Option) bool { return o.id == id && o.Loader })
}
