package makedumpfilecmd

// Unsupport is an option of makedumpfile that gokexec recognises but does not support.
type Unsupport struct {
	Option  string // as on a command line
	Refused bool   // with ExitUnsupported; else it is accepted and has no effect
	Why     string

	id int
}

// Unsupported lists them all. The manual and the messages are made from it.
func Unsupported() []Unsupport {
	const (
		debugInfo = "gokexec reads no debug information; all that a page filter needs is in the dump's own VMCOREINFO"
		erase     = "erasing data needs debug information, which gokexec does not read; encrypt the dump, or leave the pages out"
		xen       = "dumps of Xen's hypervisor are not filtered; save the whole of /proc/vmcore, with dump level 0"
		noBuffers = "gokexec works in bounded memory whatever the size of the machine"
	)
	return []Unsupport{
		{"-x", true, debugInfo, 'x'},
		{"-g", true, debugInfo, 'g'},
		{"--config", true, erase, optConfig},
		{"--eppic", true, erase, optEppic},
		{"--extension", true, "gokexec is one static program and loads no shared libraries", optExtension},
		{"--diskset", true, "dumps by a firmware (sadump) are not read", optDiskset},
		{"-X", true, xen, 'X'},
		{"--xen-syms", true, xen, optXenSyms},
		{"--xen-vmcoreinfo", true, xen, optXenVMCoreInfo},
		{"--xen_phys_start", false, "it tells where Xen's hypervisor is", optXenPhysStart},
		{"-e", false, "the page structures are kept: debuggers walk them", 'e'},
		{"-b", false, noBuffers, 'b'},
		{"--non-mmap", false, "what can't be mapped is read by read(2) anyway", optNonMmap},
		{"--cyclic-buffer", false, noBuffers, optCyclicBuffer},
		{"--work-dir", false, noBuffers + "; no file for bitmaps is made", optWorkDir},
		{"--splitblock-size", false, "the files of --split have equal numbers of pages, to within one", optSplitblockSize},
	}
}

// unsupported stops for the first option that is refused.
func (inv *Invocation) unsupported() *Stop {
	for _, u := range Unsupported() {
		if u.Refused && inv.given[u.id] {
			return &Stop{Err: "makedumpfile: " + u.Option + " is not supported: " + u.Why, Code: ExitUnsupported}
		}
	}
	return nil
}

// Difference is something that gokexec does differently from makedumpfile, on purpose.
type Difference struct {
	When, Original, Here string
}

// Differences lists them all, for the manual.
func Differences() []Difference {
	return []Difference{
		{"without --num-threads", "one thread reads and compresses", "as many as there are CPUs, and --num-threads never starts more than that"},
		{"-E, with several CPUs", "one thread; --num-threads is refused", "as many threads as there are CPUs; --num-threads is refused all the same"},
		{"-E of a compressed dump", "refused", "written"},
		{"-E, and few pages in a row are left out", "fewer than 256 are saved nevertheless", "they are a hole in the file"},
		{"a kernel that is newer than the program", "warns, and may leave out pages that are in use", "checks what it found against the kernel's own counts, and keeps the pages of a kind that does not agree; a line on standard error says which"},
		{"pages of the kernel image that were freed and hold something else", "left out as other pages", "kept"},
		{"-d 0 or 1, and memory is damaged or offline", "reads and saves it, which may end the kernel that does so", "it is left out, as at every level"},
		{"memory was never accepted from the hypervisor", "left out with 16", "left out at every level"},
		{"pages can't be told apart (no VMCOREINFO, tables that can't be read)", "fails", "saves the whole memory, and a line on standard error says so; the exit code is 0"},
		{"a source that contains the kernel's text twice, as /proc/vmcore does", "counts these pages twice in the report", "counts each page once"},
		{"the disk is full, -F, and -d has another level", "begins again in the same stream, which can't be read then", "the levels after the first have no effect; the exit code is 1"},
		{"a quota ends, or the file is as large as the filesystem allows, and -d has another level", "fails", "the next level is tried, as when the disk is full"},
		{"a page of the source can't be read", "the dump ends there", "the page is saved as zeroes, and standard error tells how many there are"},
		{"--mem-usage on a machine without memory for a crash kernel", "refused", "answered"},
		{"--split", "a process for each file writes it", "the files are written one after the other, each by all CPUs"},
		{"--reassemble of parts that are incomplete", "copies what is there, and may fail", "what is missing is zero, and the dump says that it is incomplete"},
	}
}
