package main

import (
	"context"
	"fmt"
	"strings"
)

// program is another program that gokexec stands in for, when it is called by
// that name or with the name as its first argument.
type program struct {
	name  string
	short string // one line of gokexec help, no full stop
	// help explains it on standard output.
	help func(e *env) int
	// man is its manual page, of section 8.
	man func() string
	// run gets the arguments with the name it was called by.
	run func(ctx context.Context, e *env, argv []string) int
}

// programs is the table: what is not here is a command.
func programs() []program {
	return []program{kexecProgram(), vmcoreDmesgProgram(), makedumpfileProgram()}
}

// findProgram returns the program of that name, nil for none.
func findProgram(name string) *program {
	for _, p := range programs() {
		if p.name == name {
			return &p
		}
	}
	return nil
}

// programText is the help and the manual page of a program, where no tables of options
// make them.
type programText struct {
	name        string
	args        string // as in a synopsis
	short       string // one line, no full stop
	long        string // paragraphs, parted by blank lines
	differences []string
	exits       []exitCode
}

// program is the row of the table.
func (p *programText) program(run func(ctx context.Context, e *env, argv []string) int) program {
	help := func(e *env) int {
		fmt.Fprint(e.stdout, p.help())
		return exitOK
	}
	return program{name: p.name, short: p.short, help: help, man: p.man, run: run}
}

// help is the text of gokexec help NAME.
func (p *programText) help() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%[1]s: %[2]s\n\nusage: %[1]s %[3]s\n       gokexec %[1]s %[3]s\n\n%[4]s\n\nexit codes:\n", p.name, p.short, p.args, wrap(p.long, 78))
	for _, x := range p.exits {
		fmt.Fprintf(&b, "  %-3d %s\n", x.code, x.meaning)
	}
	return b.String()
}

// man returns the page of the program that gokexec stands in for.
func (p *programText) man() string {
	var b strings.Builder
	manHead(&b, strings.ToUpper(p.name), p.name, p.short)
	fmt.Fprintf(&b, ".SH SYNOPSIS\n.B %s\n%s\n.PP\n.B gokexec %s\n%s\n.SH DESCRIPTION\n", roff(p.name), roff(p.args), roff(p.name), roff(p.args))
	manParagraphs(&b, strings.Split(strings.TrimSpace(p.long), "\n\n"))
	b.WriteString(".SH DIFFERENCES\nFrom the program of kexec\\-tools:\n")
	for _, d := range p.differences {
		b.WriteString(".IP \\(bu 2\n" + roff(strings.Join(strings.Fields(d), " ")) + "\n")
	}
	manExits(&b, p.exits)
	b.WriteString(".SH SEE ALSO\n.BR gokexec (8)\n")
	return b.String()
}
