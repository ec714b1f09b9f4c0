package differential

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/gokexec/gokexec/internal/getopt"
	"github.com/gokexec/gokexec/internal/kexeccmd"
)

// commandLines is how many command lines are made up for each machine.
const commandLines = 120

// edgeLines are tried on every machine, in addition to invented ones. Files are named
// as in imageFiles.
var edgeLines = []string{
	"", "K", "-h", "-v", "-?", "-S", "-l -S", "-p -S", "-S -p -u -l K", "--print-ckr-size", "--print-ckr-size --bogus", "--bogus --print-ckr-size",
	"-p -u", "-u -p", "-u", "-s -u", "-c -u", "-a -p -u", "-c -p -u", "-p -u --append=x", "-u --noefi", "-e --append=x", "-S --initrd=I", "-e", "-e -x -y", "-p -e",
	"-l K", "-s -l K", "-c -l K", "-p K", "-ps K", "-c -p K", "-c -p K --append=x --initrd=I", "K -c -l --append x", "-c -l -- K", "-c -l K K2", "-c -f K", "-c K",
	"-l missing", "-c -l missing", "-s -l missing", "-c -l text", "-s -l text", "-a -l text", "-c -l truncated", "-c -l K --initrd=missing", "-s -l K --initrd=missing",
	"-c -l K.gz", "-c -l K.xz", "-c -l arm64", "-c -t bzImage64 -l K", "-c -t bzImage -p K", "-c -t nosuch -l K", "-c -t elf-x86_64 -l K", "-c --type=multiboot-x86 -l K", "-c -t elf-x86_64 -l V",
	"-c --args-linux -l V --initrd=I", "-s -t nosuch -l missing",
	"--load-preserve-context K", "-c --load-preserve-context K", "-s --load-preserve-context --mem-max=0x1000000 K", "--load-jump-back-helper", "-s --load-jump-back-helper",
	"--load-live-update K", "--exec-live-update", "--hotplug -S", "--hotplug -c -p K", "--hotplug -e", "--reuseinitrd -l K", "--reuseinitrd -u", "--reuseinitrd -S",
	"--mem-min=x K", "--mem-max= -c -l K", "--mem-min=010 -c -l K", "--mem-min=08", "--mem-min=-1 -c -l K", "--mem-max=0x -l K", "--entry=1g K", "--entry=0x100 -c -l K",
	"--mem-min=0x99999999999999999999999 -c -l K", "--mem-max= 1 -c -l K", "--mem-max=0x1000000 -c -l K", "--mem-min=0x10000000 -c -l K",
	"--serial=ttyS7 -l K", "--serial=0x10000 -l K", "--serial=0x3f8 -c -l K", "--serial-baud=300 -l K", "--serial-baud=115200 -c -p K --console-serial", "--serial=0x -c -l K",
	"--no-s -c -l K", "--no=1", "--load-p", "--lo", "--=x", "--a", "--ini=I -c -l K", "--comm=x -c -l K", "--re -l K", "--reuse-c -c -l K", "--dtb=missing -c -l K", "--elf32 -c -p K",
	"--append", "-t", "-c -t", "--load=1", "--initrd= -c -l K", "-lx K -c", "-l- K", "-lW K", "--", "-- -l", "- -l -c", "--append --bogus -c -l K", "--unload=x", "---u", "--u",
	"-d -c -p K --append=root=/dev/sda1~ro", "-c -d -p K --reuse-cmdline", "-c -p -d K --reuse-cmdline --append=x=1", "-c -d -p K --command-line=a --append=b",
}

var randomWords = []string{
	"-l", "-p", "-u", "-e", "-f", "-S", "-s", "-c", "-a", "-d", "-i", "-x", "-y", "-ps", "-pu", "-up", "-lc", "-pc", "-t", "-tbzImage", "-z", "-v",
	"--load", "--load-panic", "--unload", "--exec", "--force", "--status", "--kexec-file-syscall", "--kexec-syscall", "--kexec-syscall-auto", "--kexec-sys", "--kexec",
	"--no-checks", "--no-ifdown", "--no-sync", "--no-s", "--no-", "--type=bzImage64", "--type", "--mem-min=0x1000", "--mem-min=0x1000000", "--mem-max=0x3fffffff", "--mem-m", "--entry=0",
	"--append=a~b=c", "--append", "--command-line=root=x", "--reuse-cmdline", "--reuse", "--initrd=I", "--ramdisk=I", "--initrd=missing", "--initrd",
	"--args-linux", "--reset-vga", "--console-vga", "--console-serial", "--serial=ttyS0", "--serial=bad", "--serial-baud=9600", "--serial-baud=1",
	"--elf64-core-headers", "--noefi", "--pass-memmap-cmdline", "--reuse-video-type", "--hotplug", "--bogus", "--bogus=x", "--", "-", "--reuseinitrd",
	"--load-preserve-context", "--load-jump-back-helper", "--load-live-update", "--print-ckr-size", "--help=x",
}

// madeUp gives command lines by chance: mostly a plausible one, with something
// added.
func madeUp(seed uint64, n int) []string {
	r := rand.New(rand.NewPCG(seed, 3))
	pick := func(from ...string) string { return from[r.IntN(len(from))] }
	kernels := []string{"K", "K", "K", "K.gz", "missing", "text", "arm64", "truncated", "V"}
	var lines []string
	for range n {
		var words []string
		switch r.IntN(6) {
		case 0:
		case 1:
			words = []string{pick("-u", "--unload", "-pu"), pick("-p", "-a", "-s", "-c", "")}
		default:
			words = []string{pick("-l", "-p", "--load", "--load-panic", "-f", ""), pick("-c", "-c", "-c", "-s", "-a", ""), kernels[r.IntN(len(kernels))]}
		}
		for range r.IntN(5) {
			words = append(words, randomWords[r.IntN(len(randomWords))])
		}
		r.Shuffle(len(words), func(i, j int) { words[i], words[j] = words[j], words[i] })
		lines = append(lines, strings.Join(strings.Fields(strings.Join(words, " ")), " "))
	}
	return lines
}

// split makes the words of a line: '~' is a blank in one.
func split(line string) []string {
	words := strings.Fields(line)
	for i, w := range words {
		words[i] = strings.ReplaceAll(w, "~", " ")
	}
	return words
}

// later are options that a release of kexec-tools did not have yet.
var later = map[string][]string{
	"2.0.25": {"hotplug", "no-cma", "force-dtb", "dtb"},
	"2.0.32": {"no-cma", "force-dtb"},
}

// sameOptions tells whether a release reads a line as gokexec does, who knows more
// options: they may be on it, or make a prefix ambiguous.
func sameOptions(t *testing.T, release string, argv []string) bool {
	t.Helper()
	options, err := kexeccmd.Options("x86_64")
	if err != nil {
		t.Fatal(err)
	}
	parse := func(without ...string) any {
		set := getopt.Set{Short: "h?vdfixyluet:pscaS"}
		for i, o := range options {
			if slices.Contains(without, o.Name) {
				continue
			}
			arg := getopt.No
			if o.Value != "" {
				arg = getopt.Required
			}
			val := 1000 + i
			switch o.Name {
			case "append", "command-line":
				val = 1
			case "initrd", "ramdisk":
				val = 2
			}
			set.Long = append(set.Long, getopt.Long{Name: o.Name, Arg: arg, Val: val})
		}
		items, _ := set.Parse(append([]string{"kexec"}, argv...))
		return items
	}
	return reflect.DeepEqual(parse(), parse(later[release]...))
}

// A releaseDefault is put before a line that names no system call: before 2.0.27
// the default was another.
func releaseDefault(release string, argv []string) []string {
	if release != "2.0.25" {
		return argv
	}
	return append([]string{"-a"}, argv...)
}

// quote makes words for a shell.
func quote(words []string) string {
	var b strings.Builder
	for _, w := range words {
		fmt.Fprintf(&b, " '%s'", strings.ReplaceAll(w, "'", `'\''`))
	}
	return b.String()
}
