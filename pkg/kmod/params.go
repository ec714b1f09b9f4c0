package kmod

import "strings"

// AddCmdline appends to the entries' parameters those that a kernel command
// line has for them, as "nvme_core.io_timeout=60". The kernel applies such
// options only to what is built in; for modules it is modprobe's work
// (modprobe(8)).
func (l *List) AddCmdline(cmdline string) {
	for _, arg := range splitCmdline(cmdline) {
		if arg == "--" {
			return // what follows is for init
		}
		name, _, _ := strings.Cut(arg, "=")
		module, _, ok := strings.Cut(name, ".")
		if !ok {
			continue
		}
		param := arg[len(module)+1:]
		for i := range l.Entries {
			e := &l.Entries[i]
			if e.Name == NormalizeName(module) {
				e.Params = strings.TrimLeft(e.Params+" "+param, " ")
			}
		}
	}
}

// splitCmdline splits at white space outside of double quotes, which stay
// where they are: the kernel takes them off when it parses the module's
// parameters in turn (lib/cmdline.c, next_arg). A quote around a whole
// argument is taken off here.
func splitCmdline(s string) []string {
	quoted := false
	args := strings.FieldsFunc(s, func(r rune) bool {
		if r == '"' {
			quoted = !quoted
		}
		return !quoted && (r == ' ' || r >= '\t' && r <= '\r')
	})
	for i, a := range args {
		if inner, ok := strings.CutPrefix(a, `"`); ok {
			inner = strings.TrimSuffix(inner, `"`)
			if name, value, ok := strings.Cut(inner, "="); ok && strings.ContainsAny(value, " \t") {
				inner = name + `="` + value + `"`
			}
			args[i] = inner
		}
	}
	return args
}
