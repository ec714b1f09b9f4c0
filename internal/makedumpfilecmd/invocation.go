package makedumpfilecmd

// Exit codes of makedumpfile(8), and one of our own.
const (
	ExitOK          = 0
	ExitFailed      = 1
	ExitOtherKernel = 2 // -i is the file of another kernel
	ExitUnsupported = 3 // the command line asks for something that gokexec does not support
)

// Action is what a command line asks for.
type Action int

// The actions.
const (
	Create Action = iota // a dump
	Rearrange
	Reassemble
	Dmesg
	MemUsage
	Generate // a VMCOREINFO: not supported
	Usage
	Version
	Check // the command line is right, and nothing else is asked
)

// Codec is how each page is compressed.
type Codec byte

// The codecs, by their option. 0 is none.
const (
	Zlib   Codec = 'c'
	LZO    Codec = 'l'
	Snappy Codec = 'p'
	Zstd   Codec = 'z'
)

// Invocation is a command line that was read.
type Invocation struct {
	Action Action
	Stop   *Stop // a mistake; then nothing else counts

	Messages Level // which are printed
	Flatten  bool  // -F: the dump goes to the standard output, and messages to the standard error
	Quiet    bool  // --check-params: no last line

	Source  string   // of a dump, the log, the table
	Sources []string // of --reassemble
	Outputs []string // one, with --split more; none with -F

	Levels   []int // dump levels, tried in order; at least one
	Codec    Codec
	ELF      bool
	Split    bool
	Limit    uint64 // bytes of the output; 0: none
	Threads  int    // 0: as many as there are CPUs
	Partial  bool   // only the log since it was cleared
	Force    bool   // existing files are overwritten
	DryRun   bool
	Debug    bool
	Vtop     uint64 // virtual address to translate; 0: none
	InfoFile string // VMCOREINFO

	given   map[int]bool
	workDir string
}

// Stop ends the program.
type Stop struct {
	Err  string   // line for the standard error, at any message level; "": none
	Text []string // common messages
	Code int
}

// Texts that makedumpfile prints and scripts may look for.
const (
	TextInvalid   = "Commandline parameter is invalid."
	TextTry       = "Try `makedumpfile --help' for more information."
	TextFailed    = "makedumpfile Failed."
	TextCompleted = "makedumpfile Completed."
)

// mistake is a command line that is refused for the reasons in text.
func mistake(text ...string) *Stop {
	return &Stop{Text: append(text, TextInvalid, TextTry), Code: ExitFailed}
}

// Last is the line that follows everything else; "" for none.
func (inv *Invocation) Last(code int) string {
	switch {
	case inv.Quiet, inv.Action == Usage, inv.Action == Version:
		return ""
	case code != ExitOK:
		return TextFailed
	case inv.Action == MemUsage:
		return ""
	}
	return TextCompleted
}
