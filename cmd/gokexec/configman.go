package main

import (
	"fmt"
	"strings"

	"github.com/spf13/pflag"

	"github.com/gokexec/gokexec/pkg/config"
)

// configManPage is the name of the page of gokexec.conf.
const configManPage = config.Name + ".5"

// configMan makes gokexec.conf(5) from the table of keys.
func configMan() string {
	var b strings.Builder
	manHeadOf(&b, 5, "GOKEXEC.CONF", config.Name, "what gokexec arm makes ready to save a dump, and how")
	b.WriteString(".SH SYNOPSIS\n")
	for _, dir := range config.Directories() {
		fmt.Fprintf(&b, ".B /%s/%s\n.br\n.B /%s/%s.d/*.conf\n.br\n", roff(dir), config.Name, roff(dir), config.Name)
	}
	b.WriteString(".SH DESCRIPTION\n")
	manParagraphs(&b, []string{
		`gokexec arm, which the service gokexec-crash runs at boot, reads these files, and so does gokexec hotplug. No file is needed: then the running kernel is loaded with its own command line, and dumps go to ` + defaultTarget + `. gokexec config shows what is in force and where it was set.`,
		`Of several files gokexec.conf the first of the list above counts. Drop-ins from all directories follow, sorted by name; of those with the same name the one in the first directory counts. A file that is empty, or a link to /dev/null, masks those of the same name further down (UAPI group, Configuration Files Specification).`,
		`The syntax is that of systemd.syntax(7): a [Section], lines Key=VALUE, comments that begin with # or ;, and lines that a backslash at their end continues. A later line replaces an earlier one of the same key; where a key may be repeated it adds to a list, which an empty value empties. For any other key an empty value is the default. Sections and keys that begin with X- are left to others; one that is not known is a warning. A bad value is an error, with which gokexec arm changes nothing.`,
		`Each key stands for an option of a command and takes what that takes; its page tells more.`,
	})
	c := newConfigured()
	for _, section := range configSections {
		fmt.Fprintf(&b, ".SH [%s]\n%s\n", section.name, roff(section.about))
		for _, k := range configKeys {
			if k.section == section.name {
				manKey(&b, k, c.flag(k))
			}
		}
	}
	fmt.Fprintf(&b, ".SH EXAMPLE\n.nf\n[Kernel]\nAppend=console=ttyS0,115200\n\n[Capture]\nTarget=/var/crash\nTarget=raw:PARTLABEL=crash\nKeepFree=10%%\n.fi\n")
	b.WriteString(".SH SEE ALSO\n.BR gokexec (8),\n.BR gokexec\\-arm (8),\n.BR gokexec\\-config (8),\n.BR gokexec\\-load (8),\n.BR gokexec\\-initramfs (8),\n.BR gokexec\\-hotplug (8)\n")
	return b.String()
}

func manKey(b *strings.Builder, k configKey, f *pflag.Flag) {
	kind, usage := pflag.UnquoteUsage(f)
	if f.Value.Type() == "bool" {
		kind = "BOOLEAN"
	}
	fmt.Fprintf(b, ".TP\n\\fB%s=\\fR\\fI%s\\fR\n%s.", k.key, roff(kind), roff(strings.TrimSuffix(usage, ".")))
	if k.note != "" {
		b.WriteString(" " + roff(k.note))
	}
	if k.command != "" {
		fmt.Fprintf(b, " (\\fB\\-\\-%s\\fR of gokexec\\-%s(8).)", roff(k.flag), k.command)
	}
	b.WriteString("\n")
}
