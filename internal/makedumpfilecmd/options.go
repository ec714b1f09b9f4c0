package makedumpfilecmd

import "github.com/gokexec/gokexec/internal/getopt"

// Option is an option of makedumpfile(8).
type Option struct {
	Name   string // of the long option, without dashes; "": it has none
	Letter byte   // the short option; 0: none
	Value  string // the name of its argument in the manual; "": it has none
	Help   string

	id int
}

// Spelling is the option as on a command line: its letter, else its name.
func (o *Option) Spelling() string {
	if o.Letter != 0 {
		return "-" + string(o.Letter)
	}
	return "--" + o.Name
}

// The options without a letter; others have theirs.
const (
	optSplit = 256 + iota
	optReassemble
	optXenSyms
	optXenVMCoreInfo
	optXenPhysStart
	optMessageLevel
	optVtop
	optDumpDmesg
	optPartialDmesg
	optConfig
	optDiskset
	optCyclicBuffer
	optEppic
	optNonMmap
	optMemUsage
	optSplitblockSize
	optWorkDir
	optNumThreads
	optCheckParams
	optDryRun
	optShowStats
	optExtension
)

// letters is the string that getopt(3) takes.
const letters = "b:cDd:eEFfg:hi:lL:pRvXx:z"

// Options lists them all. The long ones are in the order of makedumpfile, which messages about ambiguous
// options show.
func Options() []Option {
	options := []Option{
		{Letter: 'd', Value: "LEVEL[,LEVEL...]", Help: "dump level: which pages are left out, the sum of 1 (zero), 2 (cache without private data), 4 (cache, also private), 8 (memory of processes) and 16 (free). Of a list the next level is taken when the disk is full"},
		{Letter: 'c', Help: "compress each page by zlib"},
		{Letter: 'l', Help: "compress each page by LZO"},
		{Letter: 'p', Help: "compress each page by snappy"},
		{Letter: 'z', Help: "compress each page by zstd"},
		{Letter: 'E', Help: "write an ELF core, without compression"},
		{Letter: 'F', Help: "write the flattened form to the standard output; messages go to the standard error"},
		{Letter: 'R', Help: "make a dump of the flattened form on the standard input"},
		{Name: "split", id: optSplit, Help: "write several files with an equal number of pages"},
		{Name: "reassemble", id: optReassemble, Help: "join the files that --split wrote"},
		{Name: "xen-syms", id: optXenSyms, Value: "FILE", Help: "debug information of Xen"},
		{Name: "xen-vmcoreinfo", id: optXenVMCoreInfo, Value: "FILE", Help: "VMCOREINFO of Xen"},
		{Name: "xen_phys_start", id: optXenPhysStart, Value: "ADDR", Help: "where Xen is in physical memory"},
		{Name: "message-level", id: optMessageLevel, Value: "LEVEL", Help: "which messages are printed: the sum of 1 (progress), 2 (common), 4 (errors), 8 (debugging) and 16 (report); 7 without this option"},
		{Name: "vtop", id: optVtop, Value: "ADDR", Help: "print the physical address of a virtual one"},
		{Name: "dump-dmesg", id: optDumpDmesg, Help: "write the kernel log instead of a dump"},
		{Name: "partial-dmesg", id: optPartialDmesg, Help: "with --dump-dmesg: only what was logged since it was last cleared (dmesg --clear)"},
		{Name: "config", id: optConfig, Value: "FILE", Help: "rules by which data is erased"},
		{Name: "help", Letter: 'h', Help: "print this help"},
		{Name: "diskset", id: optDiskset, Value: "FILE", Help: "disk of a set that a firmware (sadump) wrote"},
		{Name: "cyclic-buffer", id: optCyclicBuffer, Value: "KB", Help: "size of a buffer for bitmaps"},
		{Name: "eppic", id: optEppic, Value: "FILE", Help: "program by which data is erased"},
		{Name: "non-mmap", id: optNonMmap, Help: "read the source by read(2) only"},
		{Name: "mem-usage", id: optMemUsage, Help: "print how many pages of the running machine are of which kind; the operand is /proc/kcore"},
		{Name: "splitblock-size", id: optSplitblockSize, Value: "KB", Help: "by how much the files of --split may differ"},
		{Name: "work-dir", id: optWorkDir, Value: "DIR", Help: "directory for bitmaps"},
		{Name: "num-threads", id: optNumThreads, Value: "N", Help: "how many CPUs read and compress; all of them without this option"},
		{Name: "check-params", id: optCheckParams, Help: "only check the command line"},
		{Name: "dry-run", id: optDryRun, Help: "do all of it, but write nothing"},
		{Name: "show-stats", id: optShowStats, Help: "print the report: how many pages of which kind"},
		{Name: "extension", id: optExtension, Value: "FILE", Help: "shared library that selects pages (after 1.7.9)"},
		{Letter: 'e', Help: "leave out the page structures of pages that are left out"},
		{Letter: 'i', Value: "FILE", Help: "VMCOREINFO for a dump that has none"},
		{Letter: 'x', Value: "FILE", Help: "the kernel's debug information"},
		{Letter: 'g', Value: "FILE", Help: "write a VMCOREINFO out of debug information"},
		{Letter: 'L', Value: "SIZE", Help: "write no more than SIZE bytes (K, M, G, T, P, E), as if the disk were full then"},
		{Letter: 'b', Value: "ORDER", Help: "size of the write buffer, in pages as a power of 2"},
		{Letter: 'f', Help: "overwrite an existing file"},
		{Letter: 'X', Help: "leave the domains of users out of a dump of Xen"},
		{Letter: 'D', Help: "print debugging messages"},
		{Letter: 'v', Help: "print the version"},
	}
	for i := range options {
		if options[i].Letter != 0 {
			options[i].id = int(options[i].Letter)
		}
	}
	return options
}

// set makes getopt's tables.
func set(options []Option, posix bool) *getopt.Set {
	s := &getopt.Set{Short: letters, POSIX: posix}
	for _, o := range options {
		if o.Name == "" {
			continue
		}
		arg := getopt.No
		if o.Value != "" {
			arg = getopt.Required
		}
		s.Long = append(s.Long, getopt.Long{Name: o.Name, Arg: arg, Val: o.id})
	}
	return s
}
