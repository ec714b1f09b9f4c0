package kdumpconf

import (
	"slices"
	"strconv"
	"strings"

	"github.com/gokexec/gokexec/internal/makedumpfilecmd"
)

// codecName is the value of Compress= for an option of makedumpfile.
func codecName(c makedumpfilecmd.Codec) string {
	switch c {
	case makedumpfilecmd.Zlib:
		return "zlib"
	case makedumpfilecmd.LZO:
		return "lzo"
	case makedumpfilecmd.Snappy:
		return "snappy"
	case makedumpfilecmd.Zstd:
		return "zstd"
	}
	return "none"
}

// collector makes settings of a command of makedumpfile: which pages, in what form.
func (in *importer) collector(words []string, from assigned) (reason string) {
	argv := append(append([]string{"makedumpfile"}, words...), "vmcore", "dump")
	inv := makedumpfilecmd.Parse(argv, false)
	if inv.Stop != nil { // -F, with which it writes to the standard output
		inv = makedumpfilecmd.Parse(argv[:len(argv)-1], false)
	}
	var lost []string
	for _, word := range words {
		if option := lostOption(word); option != "" {
			lost = append(lost, option)
		}
	}
	if inv.Stop != nil {
		if len(lost) == 0 {
			return "makedumpfile would refuse this: " + strings.Join(append(inv.Stop.Text, inv.Stop.Err), " ")
		}
		return "of makedumpfile's options gokexec has no counterpart for " + strings.Join(lost, " ")
	}
	levels := make([]string, len(inv.Levels))
	for i, n := range inv.Levels {
		levels[i] = strconv.Itoa(n)
	}
	in.set(sectionCapture, "DumpLevel", strings.Join(levels, ","), from)
	if inv.ELF {
		in.set(sectionCapture, "Format", "elf", from)
	} else {
		in.set(sectionCapture, "Compress", codecName(inv.Codec), from)
	}
	if len(lost) > 0 {
		return "of makedumpfile's options gokexec has no counterpart for " + strings.Join(lost, " ") + "; the others are taken over"
	}
	return ""
}

// needless are the options of makedumpfile that say nothing of the dump itself: messages, how it is written and by
// how many threads, which gokexec decides by itself.
var needless = []string{"--message-level", "--num-threads", "--show-stats", "--cyclic-buffer", "--non-mmap"}

// lostOption gives the option in a word if it is none of those that are taken over or needless.
func lostOption(word string) string {
	switch {
	case strings.HasPrefix(word, "--"):
		name, _, _ := strings.Cut(word, "=")
		if slices.Contains(needless, name) {
			return ""
		}
		return name
	case len(word) > 1 && word[0] == '-':
		for _, c := range word[1:] {
			if c == 'd' { // what follows is its value
				break
			}
			if !strings.ContainsRune("clpzEFfD", c) {
				return "-" + string(c)
			}
		}
	}
	return ""
}
