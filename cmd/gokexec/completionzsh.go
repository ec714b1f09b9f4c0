package main

import (
	"fmt"
	"strings"
)

func zshCompletion(specs []completionSpec) string {
	var b strings.Builder
	b.WriteString(`#compdef gokexec
# zsh completion for gokexec; made by gokexec help --completions

_gokexec_commands() {
	local -a commands=(
`)
	for _, s := range specs {
		fmt.Fprintf(&b, "\t\t%s\n", zshQuote(s.name+":"+zshDescription(s.short)))
	}
	b.WriteString(`		'version:print the version'
		'help:explain a command'
	)
	_describe command commands
}

_gokexec() {
	local context state state_descr line
	typeset -A opt_args
	_arguments -C '1: :_gokexec_commands' '*:: :->arguments'
	[[ $state == arguments ]] || return
	case $words[1] in
`)
	for _, s := range specs {
		fmt.Fprintf(&b, "\t%s)\n\t\t_arguments -s", s.name)
		for _, o := range s.options {
			for _, spec := range zshOption(o) {
				b.WriteString(" \\\n\t\t\t" + zshQuote(spec))
			}
		}
		switch {
		case len(s.words) > 0 && s.files:
			fmt.Fprintf(&b, " \\\n\t\t\t'1:what:(%s)' '*:file:_files'", strings.Join(s.words, " "))
		case len(s.words) > 0:
			var words []string
			for _, w := range s.words {
				words = append(words, strings.NewReplacer(":", `\:`, "=", `\=`).Replace(w))
			}
			fmt.Fprintf(&b, " \\\n\t\t\t%s", zshQuote("*:target:("+strings.Join(words, " ")+")"))
		case s.files:
			b.WriteString(" \\\n\t\t\t'*:file:_files'")
		}
		b.WriteString("\n\t\t;;\n")
	}
	b.WriteString("\thelp) _gokexec_commands ;;\n\tesac\n}\n\n_gokexec \"$@\"\n")
	return b.String()
}

// zshOption makes specifications for _arguments (zshcompsys(1)).
func zshOption(o completionOption) []string {
	description := "[" + zshDescription(o.usage) + "]"
	action := ""
	switch {
	case !o.takesValue:
	case len(o.value.words) > 0:
		action = ":" + o.value.name + ":(" + strings.Join(o.value.words, " ") + ")"
	case o.value.files:
		action = ":" + strings.ReplaceAll(strings.NewReplacer("[", "", "]", "").Replace(o.value.name), ":", `\:`) + ":_files"
	case o.value.dirs:
		action = ":" + o.value.name + ":_files -/"
	default:
		action = ":" + o.value.name + ": "
	}
	long := "--" + o.long
	if o.takesValue {
		long += "="
	}
	specs := []string{"*" + long + description + action}
	if o.letter != "" {
		letter := "-" + o.letter
		if o.takesValue {
			letter += "+"
		}
		specs = append(specs, "*"+letter+description+action)
	}
	return specs
}

func zshDescription(s string) string {
	return strings.NewReplacer("[", `\[`, "]", `\]`, ":", `\:`).Replace(s)
}

func zshQuote(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }

func fishCompletion(specs []completionSpec) string {
	var b strings.Builder
	names := strings.Join(commandNames(specs), " ")
	b.WriteString("# fish completion for gokexec; made by gokexec help --completions\n\ncomplete -c gokexec -f\n")
	command := func(name, short string) {
		fmt.Fprintf(&b, "complete -c gokexec -n 'not __fish_seen_subcommand_from %s' -a %s -d %s\n", names, name, fishQuote(short))
	}
	for _, s := range specs {
		command(s.name, s.short)
	}
	command("version", "print the version")
	command("help", "explain a command")
	fmt.Fprintf(&b, "complete -c gokexec -n '__fish_seen_subcommand_from help' -a '%s'\n", names)
	for _, s := range specs {
		b.WriteByte('\n')
		at := fmt.Sprintf("complete -c gokexec -n '__fish_seen_subcommand_from %s'", s.name)
		for _, o := range s.options {
			fmt.Fprintf(&b, "%s -l %s", at, o.long)
			if o.letter != "" {
				fmt.Fprintf(&b, " -s %s", o.letter)
			}
			switch {
			case !o.takesValue:
			case len(o.value.words) > 0:
				fmt.Fprintf(&b, " -x -a '%s'", strings.Join(o.value.words, " "))
			case o.value.files:
				b.WriteString(" -r -F")
			case o.value.dirs:
				b.WriteString(" -x -a '(__fish_complete_directories)'")
			default:
				b.WriteString(" -x")
			}
			fmt.Fprintf(&b, " -d %s\n", fishQuote(o.usage))
		}
		if len(s.words) > 0 {
			fmt.Fprintf(&b, "%s -a '%s'\n", at, strings.Join(s.words, " "))
		}
		if s.files {
			fmt.Fprintf(&b, "%s -F\n", at)
		}
	}
	return b.String()
}

func fishQuote(s string) string {
	return "'" + strings.NewReplacer(`\`, `\\`, "'", `\'`).Replace(s) + "'"
}
