package makedumpfilecmd

import (
	"fmt"
	"runtime"
	"strings"

	"github.com/gokexec/gokexec/internal/getopt"
)

// Dump levels.
const (
	maxLevel  = 31
	maxLevels = 32 // in a list
)

// Parse reads argv, whose first word is the program's name, as makedumpfile(8) does. posix is
// POSIXLY_CORRECT. A wrong command line is no error: it is an Invocation with a Stop.
func Parse(argv []string, posix bool) *Invocation {
	inv := &Invocation{Messages: defaultLevel, given: map[int]bool{}}
	items, operands := set(Options(), posix).Parse(argv)
	for _, item := range items {
		inv.given[item.Val] = true
		if inv.Stop = inv.option(item); inv.Stop != nil {
			return inv
		}
	}
	if inv.given['D'] {
		inv.Debug = true
		inv.Messages |= Debugging
	}
	if inv.given[optShowStats] {
		inv.Messages |= Reports
	}
	if inv.Quiet {
		inv.Messages = defaultLevel
	}
	if len(inv.Levels) == 0 {
		inv.Levels = []int{0}
	}
	switch {
	case inv.given['h']:
		inv.Action = Usage
		return inv
	case inv.given['v']:
		inv.Action = Version
		return inv
	}
	if inv.Stop = inv.operands(operands); inv.Stop == nil {
		inv.Stop = inv.unsupported()
	}
	if inv.Stop == nil && inv.Quiet {
		inv.Action = Check
	}
	return inv
}

// option applies one option, in order.
func (inv *Invocation) option(item getopt.Item) *Stop {
	switch item.Val {
	case getopt.Unknown:
		s := mistake()
		s.Err = item.Err
		return s
	case 'd':
		return inv.dumpLevels(item.Arg)
	case 'c', 'l', 'p', 'z':
		inv.Codec = Codec(item.Val)
	case 'E':
		inv.ELF = true
	case 'F':
		inv.Flatten = true
	case 'f':
		inv.Force = true
	case 'i':
		inv.InfoFile = item.Arg
	case 'L':
		n, ok := size(item.Arg)
		if !ok {
			return &Stop{Text: []string{fmt.Sprintf("Limit size(%s) is invalid.", item.Arg)}, Code: ExitFailed}
		}
		inv.Limit = n
	case optMessageLevel:
		return inv.messageLevel(item.Arg)
	case optVtop:
		inv.Vtop, _ = number(item.Arg)
	case optSplit:
		inv.Split = true
	case optPartialDmesg:
		inv.Partial = true
	case optWorkDir:
		inv.workDir = item.Arg
	case optNumThreads:
		inv.Threads = max(atoi(item.Arg), 0)
	case optCheckParams:
		inv.Quiet, inv.Messages = true, defaultLevel
	case optDryRun:
		inv.DryRun = true
	}
	return nil
}

func (inv *Invocation) dumpLevels(text string) *Stop {
	var levels []int
	for word := range strings.SplitSeq(text, ",") {
		if word == "" {
			continue // strtok(3) knows no empty words
		}
		n := atoi(word)
		switch {
		case n < 0 || n > maxLevel:
			return &Stop{Text: []string{fmt.Sprintf("Dump_level(%d) is invalid.", n)}, Code: ExitFailed}
		case len(levels) == maxLevels:
			return &Stop{Text: []string{"Dump_level is invalid."}, Code: ExitFailed}
		}
		levels = append(levels, n)
	}
	if len(levels) > 0 {
		inv.Levels = levels
	}
	return nil
}

func (inv *Invocation) messageLevel(text string) *Stop {
	n := atoi(text)
	if n < 0 || n > int(allMessages) {
		inv.Messages = defaultLevel
		return &Stop{Text: []string{fmt.Sprintf("Message_level(%d) is invalid.", n)}, Code: ExitFailed}
	}
	if !inv.Quiet {
		inv.Messages = Level(n)
	}
	return nil
}

// operands checks what the options mean together, in the order of makedumpfile's checks.
func (inv *Invocation) operands(words []string) *Stop {
	switch {
	case inv.given['g']:
		inv.Action = Generate
		return inv.generate(words)
	case inv.given['R']:
		inv.Action = Rearrange
		if len(words) != 1 || inv.about() || inv.Flatten || inv.given['i'] || inv.given[optXenVMCoreInfo] || inv.given['x'] || inv.given[optXenSyms] {
			return mistake()
		}
		inv.Outputs = words
		return nil
	case inv.given[optReassemble]:
		inv.Action = Reassemble
		return inv.reassemble(words)
	case inv.given[optDumpDmesg]:
		inv.Action = Dmesg
	case inv.given[optMemUsage]:
		inv.Action = MemUsage
	}
	return inv.create(words)
}

// about tells that something is asked about the contents of a dump that is to be made.
func (inv *Invocation) about() bool {
	return inv.Codec != 0 || inv.Levels[0] != 0 || inv.ELF || inv.given['X']
}

// named tells that a file with VMCOREINFO is given.
func (inv *Invocation) named() bool { return inv.given['i'] || inv.given[optXenVMCoreInfo] }

func (inv *Invocation) generate(words []string) *Stop {
	switch {
	case len(words) != 0, inv.about(), inv.named(), inv.Flatten, inv.given['R'], !inv.given['x'] && !inv.given[optXenSyms]:
		return mistake()
	case inv.DryRun:
		return mistake("--dry-run cannot be used with -g.")
	}
	return nil
}

func (inv *Invocation) reassemble(words []string) *Stop {
	switch {
	case inv.about(), inv.named(), inv.given['x'], inv.given[optXenSyms], inv.Flatten, inv.Split:
		return mistake()
	case inv.DryRun:
		return mistake("--dry-run cannot be used with --reassemble.")
	case len(words) == 0:
		return mistake()
	}
	last := len(words) - 1
	inv.Sources, inv.Outputs = words[:last], words[last:]
	return nil
}

func (inv *Invocation) create(words []string) *Stop {
	diskset := inv.given[optDiskset]
	switch {
	case inv.Codec != 0 && inv.ELF, inv.named() && (inv.given['x'] || inv.given[optXenSyms]):
		return mistake()
	case inv.DryRun && inv.Action == Dmesg:
		return mistake("--dry-run cannot be used with --dump-dmesg.")
	case inv.Flatten && inv.Split, inv.given[optConfig] && !inv.given['x']:
		return mistake()
	case inv.Threads > 0 && inv.Split:
		return mistake("--num-threads cannot used with --split.")
	case inv.Threads > 0 && inv.ELF:
		return mistake("--num-threads cannot used with ELF format.")
	case inv.Partial && inv.Action != Dmesg:
		return mistake()
	case inv.given['e'] && inv.workDir == "":
		return mistake("-e requires --work-dir")
	}
	inv.Threads = min(inv.Threads, runtime.NumCPU())
	switch {
	case diskset:
		return nil // refused, whatever the operands are
	case inv.Split && len(words) > 2 && inv.ELF:
		return mistake("Options for splitting dumpfile cannot be used with Elf format.")
	case inv.Split && len(words) > 2, !inv.Split && !inv.Flatten && len(words) == 2:
		inv.Source, inv.Outputs = words[0], words[1:]
	case len(words) == 1 && (inv.Flatten || inv.Action == MemUsage && !inv.Split):
		inv.Source = words[0]
	default:
		return mistake()
	}
	return nil
}
