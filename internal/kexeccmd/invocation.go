package kexeccmd

import "github.com/gokexec/gokexec/pkg/plan"

// Exit codes of kexec(8), as a shell sees them.
const (
	ExitOK         = 0
	ExitUsage      = 1   // a wrong command line, and any error at which kexec-tools exits at once
	ExitNoFileLoad = 253 // -s, and the kernel has no kexec_file_load or does not take the image
	ExitFailed     = 255 // a system call failed, or the image can't be loaded
)

// Invocation is what a command line asks for.
type Invocation struct {
	Arch string   // by uname -m
	Name string   // the name under which the program was called, for messages
	Stop *Stop    // an option or a mistake ends the program; then nothing else counts
	Warn []string // lines for stderr, in any case

	// Steps, in the order in which they are taken.
	Status   bool // exit with what is loaded, and take no other step
	Unload   bool
	Load     bool
	Shutdown bool // call shutdown(8)
	Sync     bool
	IfDown   bool
	Exec     bool

	Kernels []string // all operands; the first counts

	Crash     bool // the crash kernel is meant
	FileCrash bool // -p was given, whatever followed: crash memory must be reserved
	Method    plan.Method
	Debug     bool

	// What goes with a load.
	Append, Base *string // --append and --command-line; nil: not given
	Reuse        bool
	Initrd, DTB  *string
	Type         string
	NoCMA        bool
	ForceDTB     bool

	// By kexec_load.
	MemMin, MemMax uint64 // physical addresses, both inclusive
	Entry          uint64 // 0: the kernel's own
	NoChecks       bool
	Hotplug        bool
	Serial         plan.Serial
	Terminal       string // arm64's --serial
	NoEFI          bool
	PassMemmap     bool

	Jump        bool // --load-preserve-context
	JumpBack    bool // --load-jump-back-helper
	LiveUpdate  bool
	ReuseInitrd bool

	Given map[string]bool // long names of all options that were given

	loaderOption bool
	badSerial    string
}

// Stop ends the program.
type Stop struct {
	Message   []string // lines for stderr
	Usage     bool     // the usage follows, on stdout
	Version   bool     // the version, on stdout
	CrashSize bool     // the size of the crash memory, on stdout
	Code      int
}

// Machine is what Refuse must know.
type Machine struct {
	CrashMemory   bool // "Crash kernel" is in /proc/iomem
	CanHotplug    bool // the kernel tells a crash_elfcorehdr_size
	RetainsInitrd bool // retain_initrd is on the kernel's command line
	Dom0          bool // this is the control domain of Xen, and the hypervisor loads
}

// Messages that scripts may look for, as kexec-tools writes them.
const (
	TextNoCrashMemory = "Memory for crashkernel is not reserved\nPlease reserve memory by passing\"crashkernel=Y@X\" parameter to kernel\nThen try to loading kdump kernel"
	TextNothingLoaded = "Nothing has been loaded!"
	TextNoKernel      = "No kernel specified"
	TextNoFileLoad    = "syscall kexec_file_load not available."
)

// Refuse returns why the invocation is refused before any step is taken, in the order
// of kexec-tools' checks, or nil.
func (inv *Invocation) Refuse(m Machine) *Stop {
	die := func(text string) *Stop { return &Stop{Message: []string{text}, Code: ExitUsage} }
	switch {
	case inv.Stop != nil:
		return inv.Stop
	case m.Dom0:
		return &Stop{Message: []string{"gokexec does not load kernels by Xen's hypervisor; kexec-tools does, if built with libxenctrl"}, Code: ExitFailed}
	case inv.Load && (inv.Crash || inv.FileCrash) && !m.CrashMemory:
		return die(TextNoCrashMemory)
	case inv.Load && inv.Jump && inv.MemMax == maxAddr:
		return die("Please specify memory range used by kexeced kernel\nto preserve the context of original kernel with \n\"--mem-max\" parameter")
	case inv.Load && inv.LiveUpdate:
		return die("--load-live-update can only be used with xen")
	case inv.Hotplug && !m.CanHotplug:
		return die("Cannot open /sys/kernel/crash_elfcorehdr_size: No such file or directory\nPath /sys/kernel/crash_elfcorehdr_size does not exist, the kernel needs CONFIG_CRASH_HOTPLUG")
	case !inv.Load && inv.loaderOption:
		s := &Stop{Usage: true, Code: ExitUsage}
		if inv.badSerial != "" {
			s.Message = []string{inv.badSerial}
		}
		return s
	case inv.badSerial != "":
		return &Stop{Message: []string{inv.badSerial}, Usage: true, Code: ExitFailed}
	case inv.JumpBack && inv.Method == plan.File:
		return die("--load-jump-back-helper not supported with kexec_file_load")
	case inv.Jump && inv.Method != plan.Segments:
		return die("--load-preserve-context not supported with kexec_file_load")
	case inv.ReuseInitrd && !m.RetainsInitrd:
		return die("unrecoverable error: current boot didn't retain the initrd for reuse.")
	case inv.ReuseInitrd:
		return die("--reuseinitrd not implemented on this architecture")
	}
	for _, u := range Unsupported() {
		if u.Refused && u.meant(inv) {
			return &Stop{Message: []string{"--" + u.Option + ": " + u.Why}, Code: ExitFailed}
		}
	}
	return nil
}
