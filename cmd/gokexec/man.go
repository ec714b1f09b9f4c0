package main

import (
	"fmt"
	"path/filepath"
	"strings"

	"github.com/spf13/pflag"
)

// manPages writes gokexec.8, gokexec.conf.5 and a page per command into a directory.
func manPages(e *env, args []string) int {
	if len(args) != 1 {
		fmt.Fprintln(e.stderr, "gokexec: help --man takes the directory for the pages")
		return exitUsage
	}
	pages := map[string]string{"gokexec.8": manOverview(), configManPage: configMan()}
	for _, c := range commands() {
		pages["gokexec-"+c.name+".8"] = c.man()
	}
	for _, p := range programs() {
		pages[p.name+".8"] = p.man()
	}
	for name, text := range pages {
		if err := e.writeText(filepath.Join(args[0], name), text); err != nil {
			return e.finish("help", err)
		}
	}
	return exitOK
}

func manOverview() string {
	var b strings.Builder
	manHead(&b, "GOKEXEC", "gokexec", "load crash kernels, keep them accurate, and save the dump")
	b.WriteString(".SH SYNOPSIS\n.B gokexec\n.I COMMAND\n[options] [arguments]\n.SH DESCRIPTION\n")
	b.WriteString(roff("gokexec loads a crash kernel (kdump) or an ordinary one (kexec), shows what is loaded, builds the initramfs of the capture kernel, and is its init. Each command has its own page.") + "\n.SH COMMANDS\n")
	seeAlso := []string{".BR gokexec.conf (5)"}
	for _, c := range commands() {
		fmt.Fprintf(&b, ".TP\n.B %s\n%s\n", roff(c.name), roff(c.short))
		seeAlso = append(seeAlso, fmt.Sprintf(".BR gokexec\\-%s (8)", c.name))
	}
	for _, p := range programs() {
		seeAlso = append(seeAlso, fmt.Sprintf(".BR %s (8)", roff(p.name)))
	}
	b.WriteString(".SH SEE ALSO\n" + strings.Join(seeAlso, ",\n") + "\n")
	return b.String()
}

func (c *command) man() string {
	var b strings.Builder
	manHead(&b, "GOKEXEC-"+strings.ToUpper(c.name), "gokexec-"+c.name, c.short)
	fmt.Fprintf(&b, ".SH SYNOPSIS\n.B gokexec %s\n[options] %s\n.SH DESCRIPTION\n", roff(c.name), roff(c.args))
	manParagraphs(&b, strings.Split(strings.TrimSpace(c.long), "\n\n"))
	b.WriteString(".SH OPTIONS\n")
	c.flagSet().VisitAll(func(f *pflag.Flag) {
		if f.Hidden {
			return
		}
		kind, usage := pflag.UnquoteUsage(f)
		name := "--" + f.Name
		if f.Shorthand != "" {
			name = "-" + f.Shorthand + ", " + name
		}
		if kind != "" {
			kind = " \\fI" + roff(kind) + "\\fR"
		}
		fmt.Fprintf(&b, ".TP\n\\fB%s\\fR%s\n%s\n", roff(name), kind, roff(usage))
	})
	manExits(&b, c.exitCodes())
	b.WriteString(".SH SEE ALSO\n.BR gokexec (8)\n")
	return b.String()
}

// manParagraphs fills each paragraph.
func manParagraphs(b *strings.Builder, paragraphs []string) {
	for i, p := range paragraphs {
		if i > 0 {
			b.WriteString(".PP\n")
		}
		b.WriteString(roff(strings.Join(strings.Fields(p), " ")) + "\n")
	}
}

func manExits(b *strings.Builder, exits []exitCode) {
	b.WriteString(".SH EXIT STATUS\n")
	for _, x := range exits {
		fmt.Fprintf(b, ".TP\n.B %d\n%s\n", x.code, roff(x.meaning))
	}
}

// manUnsupported is an option, as it is spelled, of a program that gokexec stands in for.
func manUnsupported(b *strings.Builder, option string, refused bool, why string) {
	effect := "Accepted without effect: "
	if refused {
		effect = "Refused: "
	}
	fmt.Fprintf(b, ".TP\n.B %s\n%s\n", roff(option), roff(effect+why+"."))
}

// manDifference is what gokexec does differently from the program that it stands in for.
func manDifference(b *strings.Builder, when, program, original, here string) {
	fmt.Fprintf(b, ".TP\n.B %s\n%s\n.br\n%s\n", roff(when), roff(program+": "+original+"."), roff("gokexec: "+here+"."))
}

func manHead(b *strings.Builder, title, name, short string) { manHeadOf(b, 8, title, name, short) }

func manHeadOf(b *strings.Builder, section int, title, name, short string) {
	fmt.Fprintf(b, ".TH %s %d\n.SH NAME\n%s \\- %s\n", roff(title), section, roff(name), roff(short))
}

// roff escapes what troff would interpret (groff_man(7)).
func roff(s string) string {
	s = strings.NewReplacer(`\`, `\e`, `-`, `\-`).Replace(s)
	if strings.HasPrefix(s, ".") || strings.HasPrefix(s, "'") {
		s = `\&` + s
	}
	return s
}
