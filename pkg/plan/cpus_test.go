package plan

import (
	"debug/elf"
	"slices"
	"strings"
	"testing"

	"github.com/gokexec/gokexec/internal/imagetest"
	"github.com/gokexec/gokexec/internal/kexectest"
	"github.com/gokexec/gokexec/pkg/cmdline"
	"github.com/gokexec/gokexec/pkg/machine"
)

// A capture kernel has as many CPUs as asked for, and on x86 not the boot CPU, which it would
// start by a signal that resets the machine.
func TestCPUs(t *testing.T) {
	const info = "processor\t: 1\ninitial apicid\t: 7\n\nprocessor\t: 0\nflags\t\t: fpu lm\napicid\t\t: 9\ninitial apicid\t: 4\n\nprocessor\t: 2\ninitial apicid\t: 8\n"
	for _, tt := range []struct {
		name, info, append string
		cpus               int
		want, err          string
	}{
		{"not asked for", info, "", 0, "nr_cpus=1", ""},
		{"one", info, "", 1, "nr_cpus=1", ""},
		{"two", info, "", 2, "nr_cpus=2 disable_cpu_apicid=4", ""},
		{"boot CPU named", "processor\t: 0\n", "disable_cpu_apicid=3", 4, "disable_cpu_apicid=3 nr_cpus=4", ""},
		{"boot CPU not known", "processor\t: 0\n\nprocessor\t: 1\ninitial apicid\t: 1\n", "", 2, "", "APIC ID of the boot CPU"},
		{"no number", "processor\t: 0\ninitial apicid\t: -1\n", "", 2, "", "APIC ID of the boot CPU"},
		{"said twice", info, "maxcpus=3", 2, "", "the command line has maxcpus"},
		{"said only there", info, "nr_cpus=3", 0, "nr_cpus=3", ""},
		{"absurd", info, "", 1 << 20, "", "want 1 to"},
		{"negative", info, "", -1, "", "want 1 to"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m := kexectest.NewMachine(t)
			m.Write("proc/cpuinfo", tt.info)
			spec := &Spec{Kind: machine.Crash, Kernel: FromBytes("k", imagetest.SmallBzImage().Bytes()), Cmdline: "root=/dev/vda", Append: tt.append, CPUs: tt.cpus}
			p, _, err := planOn(t, m, spec)
			if tt.err != "" {
				if err == nil || !strings.Contains(err.Error(), tt.err) {
					t.Errorf("New: %v; want %q", err, tt.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for word := range strings.FieldsSeq(p.Cmdline) {
				if strings.HasPrefix(word, "nr_cpus") || strings.HasPrefix(word, "disable_cpu_apicid") {
					got = append(got, word)
				}
			}
			if strings.Join(got, " ") != tt.want {
				t.Errorf("command line %q; want %s", p.Cmdline, tt.want)
			}
		})
	}
}

// Elsewhere than on x86 any CPU may be started again.
func TestCPUsOfArchitectures(t *testing.T) {
	for _, tt := range []struct {
		machine elf.Machine
		want    string
	}{
		{elf.EM_AARCH64, "nr_cpus=4"}, {elf.EM_RISCV, "nr_cpus=4"}, {elf.EM_S390, "nr_cpus=4"}, {elf.EM_PPC64, "maxcpus=4"}, {elf.EM_386, "nr_cpus=4 disable_cpu_apicid=0"},
	} {
		traits := cmdline.Traits{Machine: tt.machine, CPUs: 4, BootAPIC: new(uint32(0))}
		if err := checkCPUs(cmdline.Cmdline{}, traits); err != nil {
			t.Errorf("%v: %v", tt.machine, err)
		}
		line, changes := cmdline.Complete(cmdline.Cmdline{}, traits)
		words := strings.Fields(line.String())
		for word := range strings.FieldsSeq(tt.want) {
			if !slices.Contains(words, word) || !slices.ContainsFunc(changes, func(c cmdline.Change) bool { return c.Text == word }) {
				t.Errorf("%v: %s, %v; want %s in both", tt.machine, line, changes, word)
			}
		}
		if line.Has("disable_cpu_apicid") != strings.Contains(tt.want, "disable") {
			t.Errorf("%v: %s", tt.machine, line)
		}
	}
}
