package kdumpconf

import (
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/gokexec/gokexec/pkg/capture"
	"github.com/gokexec/gokexec/pkg/cmdline"
)

// Reasons that several directives share.
const (
	noMail     = "gokexec sends no messages; gokexec status and its metrics tell of a new dump"
	rebuilt    = "not needed: the capture initramfs is made anew at each load"
	noFadump   = "firmware-assisted dumps are not there yet"
	needsShell = "a shell needs a static program: set [Initramfs] Shell= and this action in gokexec.conf"
	ownLog     = "not needed: gokexec logs to the journal, and the capture to the console and result.json"
)

// lost is the row of directives without a counterpart.
func lost(reason string, names ...string) directive {
	return directive{names: names, apply: func(_ *importer, a assigned) string {
		if strings.TrimSpace(a.value) == "" {
			return ""
		}
		return reason
	}}
}

// key is the row of a directive whose value is that of a key.
func key(name, section, key string) directive {
	return directive{names: []string{name}, apply: func(in *importer, a assigned) string {
		if v := strings.TrimSpace(a.value); v != "" {
			in.set(section, key, v, a)
		}
		return ""
	}}
}

// noted is the row of directives that are looked at together, at the end.
func noted(names ...string) directive { return directive{names: names} }

// unless is the row of a directive whose value says nothing if it is one of those.
func unless(reason string, name string, values ...string) directive {
	return directive{names: []string{name}, apply: func(_ *importer, a assigned) string {
		if v := strings.TrimSpace(a.value); v == "" || slices.Contains(values, v) {
			return ""
		}
		return reason
	}}
}

// program is the row of a directive that names programs to be run.
func programs(name, key string) directive {
	return directive{names: []string{name}, apply: func(in *importer, a assigned) string {
		v := strings.TrimSpace(a.value)
		switch {
		case v == "":
			return ""
		case !path.IsAbs(v) || strings.ContainsAny(v, " \t;|&$<>"):
			return "a hook is the absolute path of a program, without arguments: put the command into a script"
		}
		in.set(sectionHooks, key, v, a)
		return ""
	}}
}

// words makes one setting of each word.
func words(name, section, key string) directive {
	return directive{names: []string{name}, list: true, apply: func(in *importer, a assigned) string {
		for _, w := range strings.Fields(a.value) {
			in.set(section, key, w, a)
		}
		return ""
	}}
}

// number is the row of a directive whose value is a number above 0; add is added to it. 0 says nothing.
func number(name, section, key, suffix string, add int) directive {
	return directive{names: []string{name}, apply: func(in *importer, a assigned) string {
		v := strings.TrimSpace(a.value)
		n, err := strconv.ParseUint(v, 10, 31)
		switch {
		case v == "" || err == nil && n == 0:
			return ""
		case err != nil:
			return "not a number above 0"
		}
		in.set(section, key, strconv.Itoa(int(n)+add)+suffix, a)
		return ""
	}}
}

// action is the row of a directive that says what follows the capture.
func action(name, key string) directive {
	return directive{names: []string{name}, apply: func(in *importer, a assigned) string { return in.action(key, strings.TrimSpace(a.value), a) }}
}

func (in *importer) action(key, value string, a assigned) string {
	switch capture.Action(value) {
	case capture.Reboot, capture.Poweroff, capture.Halt:
		in.set(sectionCapture, key, value, a)
		return ""
	case capture.Shell:
		return needsShell
	}
	return "not one of reboot, halt, poweroff and shell"
}

// target makes a setting of a target. It tells whether that can be one; if not, the directive is not matched.
func (in *importer) target(text string, a assigned) bool {
	t, err := capture.ParseTarget(text)
	if err != nil {
		in.unmatched(a, err.Error())
		return false
	}
	text = t.String()
	if t.Type == capture.TargetDirectory { // as people write it
		text = strings.TrimPrefix(text, "dir:")
	}
	in.set(sectionCapture, "Target", text, a)
	return true
}

// directory makes a setting of a directory as a target.
func (in *importer) directory(dir string, a assigned) {
	in.target(capture.Target{Type: capture.TargetDirectory, Path: dir}.String(), a)
}

// appended makes settings of words for the command line: those that gokexec appends by itself are left out.
func (in *importer) appended(a assigned) (reason string) {
	line, err := cmdline.ParseClosed(a.value)
	if err != nil {
		return err.Error()
	}
	var rest []string
	for _, word := range line.Args {
		n, numberErr := strconv.ParseUint(word.Value, 10, 16)
		switch {
		case (word.Name == "nr_cpus" || word.Name == "maxcpus") && numberErr == nil:
			if n > 1 {
				in.set(sectionKernel, "CPUs", word.Value, a)
			}
		case !ownWord(word):
			rest = append(rest, word.Text)
		}
	}
	if len(line.Init) > 0 {
		reason = "the words for init after -- are not needed in gokexec's initramfs"
	}
	if len(rest) > 0 {
		in.set(sectionKernel, "Append", strings.Join(rest, " "), a)
	}
	return reason
}

// ownWord tells whether gokexec appends a word by itself, where it is of use.
func ownWord(word cmdline.Arg) bool {
	return slices.ContainsFunc(cmdline.CrashParams(), func(p cmdline.CrashParam) bool { return p.Value == nil && p.Text == word.Text })
}

// kexecOptions looks at options of kexec(8).
func kexecOptions(names ...string) directive {
	return directive{names: names, apply: func(in *importer, a assigned) string {
		var rest []string
		for _, w := range strings.Fields(a.value) {
			switch w {
			case "-s", "--kexec-file-syscall":
				in.set(sectionKernel, "Method", "file", a)
			case "-c", "--kexec-syscall":
				in.set(sectionKernel, "Method", "segments", a)
			case "-a", "--kexec-syscall-auto", "-p", "--load-panic", "--args-linux", "--dt-no-old-root":
			default:
				rest = append(rest, w)
			}
		}
		if len(rest) > 0 {
			return "of kexec's options gokexec has no counterpart for " + strings.Join(rest, " ")
		}
		return ""
	}}
}
