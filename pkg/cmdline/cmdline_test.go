package cmdline

import (
	"debug/elf"
	"errors"
	"slices"
	"strings"
	"testing"
)

func TestParse(t *testing.T) {
	tests := []struct {
		name, in string
		want     string
		args     int
		wantErr  error
	}{
		{"empty", "", "", 0, nil},
		{"spaces and newline", "  a=1\tb \n", "a=1 b", 2, nil},
		{"quoted value", `a="x y" b`, `a="x y" b`, 2, nil},
		{"quoted word", `"a=x y" b`, `"a=x y" b`, 2, nil},
		{"quote inside", `dyndbg="file a +p; file b +p"`, `dyndbg="file a +p; file b +p"`, 1, nil},
		{"init's words", "a -- b c", "a -- b c", 1, nil},
		{"second --", "a -- b -- c", "a -- b -- c", 1, nil},
		{"lone --", "a --", "a", 1, nil},
		{"quoted --", `a "--" b`, "a -- b", 1, nil},
		{"open quote", `a="x y`, `a="x y`, 1, nil},
		{"open quote takes all in", `a "x -- y z`, `a "x -- y z`, 2, nil},
		{"no-break space", "a\xa0b", "a b", 2, nil},
		{"NUL", "a\x00b", "", 0, ErrBad},
	}
	for _, tt := range tests {
		c, err := Parse(tt.in)
		if !errors.Is(err, tt.wantErr) || (err != nil) != (tt.wantErr != nil) {
			t.Errorf("%s: Parse(%q) error = %v; want %v", tt.name, tt.in, err, tt.wantErr)
			continue
		}
		if got := c.String(); got != tt.want || len(c.Args) != tt.args {
			t.Errorf("%s: Parse(%q) = %q with %d args; want %q with %d", tt.name, tt.in, got, len(c.Args), tt.want, tt.args)
		}
	}
}

func TestArgNames(t *testing.T) {
	tests := []struct{ word, name, value string }{
		{`crashkernel=256M,high`, "crashkernel", "256M,high"},
		{`"a=x y"`, "a", "x y"},
		{`a="x y"`, "a", "x y"},
		{`quiet`, "quiet", ""},
		{`a=b=c`, "a", "b=c"},
		// What the kernel's own code makes of these was looked at.
		{`=a=b`, "=a", "b"}, {`=`, "=", ""}, {`a=`, "a", ""}, {`a="`, "a", ""}, {`"`, "", ""}, {`""`, "", ""},
		{`"a b"=c`, `a b"`, "c"}, {`"a="x""`, "a", `x"`}, {`a="x"y"`, "a", `x"y`}, {`a=b"c d"e`, "a", `b"c d"e`},
		{`a=="x`, "a", `="x`}, {`foo"bar baz`, `foo"bar baz`, ""}, {`dyndbg="file drivers/usb/* +p console=ttyS0`, "dyndbg", "file drivers/usb/* +p console=ttyS0"},
	}
	for _, tt := range tests {
		if a := parseArg(tt.word); a.Name != tt.name || a.Value != tt.value {
			t.Errorf("parseArg(%q) = %q, %q; want %q, %q", tt.word, a.Name, a.Value, tt.name, tt.value)
		}
	}
}

func TestReuse(t *testing.T) {
	tests := []struct {
		name, in, crash, boot string
	}{
		{"debian", "BOOT_IMAGE=/boot/vmlinuz-6.12 root=UUID=1-2 ro quiet crashkernel=512M-:192M", "root=UUID=1-2 ro quiet", "root=UUID=1-2 ro quiet crashkernel=512M-:192M"},
		{"two crashkernel words", "crashkernel=1G,high crashkernel=256M,low a", "a", "crashkernel=1G,high crashkernel=256M,low a"},
		{"prefix is not the name", "xcrashkernel=1 crashkernel2=3 hugepages_x=1", "xcrashkernel=1 crashkernel2=3 hugepages_x=1", "xcrashkernel=1 crashkernel2=3 hugepages_x=1"},
		{"dash is underscore", "reserve-mem=4M:4K:x a", "a", "reserve-mem=4M:4K:x a"},
		{"inside quotes", `dyndbg="crashkernel=1 mem=2" mem=4G`, `dyndbg="crashkernel=1 mem=2"`, `dyndbg="crashkernel=1 mem=2" mem=4G`},
		{"quoted word is dropped whole", `"crashkernel=1G foo" a`, "a", `"crashkernel=1G foo" a`},
		{"hugepages and resume", "hugepagesz=1G hugepages=4 resume=/dev/sda2 initrd=\\x.img", "", "hugepagesz=1G hugepages=4 resume=/dev/sda2"},
		{"init's words stay", "mem=1G -- single mem=2", "-- single mem=2", "mem=1G -- single mem=2"},
	}
	for _, tt := range tests {
		c, err := Parse(tt.in)
		if err != nil {
			t.Fatal(err)
		}
		crash, changes := Reuse(c, false, elf.EM_X86_64)
		if got := crash.String(); got != tt.crash {
			t.Errorf("%s: Reuse(%q, false) = %q; want %q", tt.name, tt.in, got, tt.crash)
		}
		if len(changes) != len(c.Args)-len(crash.Args) {
			t.Errorf("%s: %d changes told; want %d", tt.name, len(changes), len(c.Args)-len(crash.Args))
		}
		if boot, _ := Reuse(c, true, elf.EM_X86_64); boot.String() != tt.boot {
			t.Errorf("%s: Reuse(%q, true) = %q; want %q", tt.name, tt.in, boot, tt.boot)
		}
	}
}

// What ends or starves a capture goes, in each of its spellings; what means something
// to it stays.
func TestReuseDropsWhatHurts(t *testing.T) {
	dropped := `softlockup_panic=1 hung_task_panic=1 hung-task-panic=1 nmi_watchdog=panic nmi_watchdog=1 unknown_nmi_panic panic_on_oops=1 oops=panic
panic_on_io_nmi panic_on_rcu_stall panic_on_warn=1 panic_on_taint=0x20,nousertaint panic-on-unrecovered-nmi hardlockup_panic=1 workqueue.panic_on_stall=1
workqueue.panic_on_stall_time=10 crash_kexec_post_notifiers panic_print=0x1f panic_sys_info=tasks,mem panic_force_cpu=3 panic_console_replay
hung_task_sys_info=all_bt softlockup_all_cpu_backtrace=1 rcupdate.rcu_cpu_stall_timeout=300 rcutree.use_softirq=0 pause_on_oops=60 panic=0
"hung_task_panic=1" hung_task_panic="1"
ignition.firstboot ignition.platform.id=qemu combustion.url=x flatcar.first_boot=detected rd.break rd.break=pre-mount rd.shell systemd.unit=rescue.target single S 1 emergency
kgdbwait kgdboc=ttyS0 boot_delay=100 resume=/dev/sda2 resumewait fail_page_alloc=1,100,0,-1 failslab=1
sysctl.kernel.hung_task_panic=1 sysctl/kernel/hung_task_panic=1 sysctl.kernel/softlockup_panic=1 sysctl.kernel.panic_on_oops=1 sysctl.kernel.panic_on_warn=1
sysctl.kernel.panic=0 sysctl.kernel.panic_sys_info=mem sysctl.kernel.unknown_nmi_panic=1 sysctl.kernel.modules_disabled=1 sysctl.kernel.printk_delay=100
sysctl.vm.nr_hugepages=4096 sysctl/vm/nr_hugepages=4096 sysctl.vm.nr_hugepages_mempolicy=4 sysctl.vm.panic_on_oom=2 sysctl.vm.min_free_kbytes=900000 sysctl.fs.xfs.panic_mask=255
hugepagesz=1G hugepages=16 default_hugepagesz=1G hugetlb_cma=4G cma=256M swiotlb=262144 transparent_hugepage=always transparent_hugepage_shmem=always numa_balancing=enable
memory_corruption_check=1 movable_node kernelcore=50% mem=4G memmap=16M$0x90000000 dhash_entries=1048576 log_buf_len=64M
ftrace=function ftrace_dump_on_oops trace_event=sched:* trace_buf_size=100M trace_instance=foo slub_debug=FZP kasan=on kmemleak=on page_owner=on kfence.sample_interval=100
isolcpus=1-7 nohz_full=1-7 irqaffinity=0 cgroup_enable=memory cgroup_disable=pids numa=fake=4 mce=recovery crashkernel=256M bootconfig`
	stays := `root=/dev/sda1 ro rootflags=subvol=@ console=hvc0 console=ttyS0,115200n8 earlyprintk=ttyS0 notsc mitigations=off init=/lib/systemd/systemd vm.overcommit=2 memblock=debug
kvm-intel.nested=1 nvme_core.io_timeout=30 gokexec.action=poweroff intel_iommu=on pci=nomsi nomodeset module_blacklist=nouveau rd.luks.uuid=1-2 rd.lvm.lv=vg/root rd.iscsi.initiator=x ip=dhcp
hung_task_panic=0 softlockup_panic=0 nmi_watchdog=0 panic_on_warn=0 transparent_hugepage=never numa_balancing=disable sysctl.kernel.hung_task_panic=0 swiotlb=noforce rd.shell=0 kho=off
sysctl.kernel.printk=7 sysctl.net.core.somaxconn=9 sysctlx.kernel.panic=1 sysctl hung_taskx_panic=1 my.hung_task_panic=1 usbcore.quirks=a:b:c fips=1 selinux=0 dyndbg="file hung_task_panic=1 +p"`
	for _, text := range []struct {
		text  string
		stays bool
	}{{dropped, false}, {stays, true}} {
		c, err := Parse(text.text)
		if err != nil {
			t.Fatal(err)
		}
		for _, a := range c.Args {
			kept, changes := Reuse(Cmdline{Args: []Arg{a}}, false, elf.EM_X86_64)
			if (len(kept.Args) == 1) != text.stays || (len(changes) == 0) != text.stays {
				t.Errorf("Reuse(%q) = %q, %v; want it to stay: %t", a.Text, kept, changes, text.stays)
			}
		}
	}
	for _, tt := range []struct {
		text    string
		machine elf.Machine
		boot    bool
		stays   bool
	}{
		{"fadump=on", elf.EM_PPC64, false, false}, {"fadump=on", elf.EM_X86_64, false, true}, {"prot_virt=1", elf.EM_S390, false, false},
		{"kexec_file", elf.EM_LOONGARCH, true, false}, {"kexec", elf.EM_X86_64, true, true}, {"hugepages=4", elf.EM_X86_64, true, true}, {"sysctl.vm.nr_hugepages=4", elf.EM_X86_64, true, true},
	} {
		kept, _ := Reuse(Cmdline{Args: []Arg{parseArg(tt.text)}}, tt.boot, tt.machine)
		if (len(kept.Args) == 1) != tt.stays {
			t.Errorf("Reuse(%q, %v, %v) = %q; want it to stay: %t", tt.text, tt.boot, tt.machine, kept, tt.stays)
		}
	}
}

// Every word has a reason and a source, and every appended word can be declined.
func TestParamTablesExplain(t *testing.T) {
	for _, p := range CrashParams() {
		if p.Why == "" || p.Source == "" || !(Cmdline{Args: []Arg{parseArg(p.Text)}}).Has(p.Unless...) {
			t.Errorf("CrashParams: %q has no reason or source, or does not decline itself", p.Text)
		}
	}
	seen := map[string]bool{}
	for _, d := range DroppedParams() {
		if d.Why == "" || d.Source == "" || d.Name == "" && d.Sysctl == "" {
			t.Errorf("DroppedParams: %q, %q has no name, reason or source", d.Name, d.Sysctl)
		}
		if d.Name != "" && seen[d.Name] {
			t.Errorf("DroppedParams: %q is there twice", d.Name)
		}
		seen[d.Name] = true
	}
}

// What gokexec adds to a capture kernel's command line it does not drop again.
func TestAddedIsNotDropped(t *testing.T) {
	for _, machine := range []elf.Machine{elf.EM_X86_64, elf.EM_386, elf.EM_AARCH64, elf.EM_ARM, elf.EM_RISCV, elf.EM_PPC64, elf.EM_S390, elf.EM_LOONGARCH} {
		_, added := Complete(Cmdline{}, Traits{Machine: machine, NoBounce: true})
		for _, change := range added {
			for _, d := range DroppedParams() {
				if !slices.Contains([]string{"panic", "nr_cpus", "maxcpus"}, d.Name) && d.matches(parseArg(change.Text), machine) {
					t.Errorf("%v: %q is added, and dropped as %q", machine, change.Text, d.Name)
				}
			}
		}
	}
}

// A quote that is never closed takes nothing in that is put behind it, and what was
// in it stays in it.
func TestOpenQuoteIsKeptLast(t *testing.T) {
	for _, tt := range []struct{ running, more, want string }{
		{`BOOT_IMAGE=/v root=x dyndbg="file a +p console=ttyS0`, "y", `root=x y dyndbg="file a +p console=ttyS0`},
		{`root=x dyndbg="file a`, "y -- single", `root=x y dyndbg="file a" -- single`},
		{`root=x -- a "b c`, "y", `root=x y -- a "b c`},
	} {
		running, err := Parse(tt.running)
		if err != nil {
			t.Fatal(err)
		}
		more, err := Parse(tt.more)
		if err != nil {
			t.Fatal(err)
		}
		kept, _ := Reuse(running, false, elf.EM_X86_64)
		if got := kept.Append(more).String(); got != tt.want {
			t.Errorf("%q with %q = %q; want %q", tt.running, tt.more, got, tt.want)
		}
	}
}

// splitByQuotes is the kernel's rule said in another way: white space ends a word if
// the number of quotes before it, in the whole line, is even.
func splitByQuotes(s string) []string {
	var words []string
	word, quotes := "", 0
	for i := range len(s) {
		if isSpace(s[i]) && quotes%2 == 0 {
			if word != "" {
				words = append(words, word)
			}
			word = ""
			continue
		}
		if s[i] == '"' {
			quotes++
		}
		word += s[i : i+1]
	}
	if word != "" {
		words = append(words, word)
	}
	return words
}

// The words are those of the kernel, a printed line splits into the same words, and
// whatever is put behind a line keeps its meaning.
func FuzzParse(f *testing.F) {
	for _, s := range []string{"", "a b", `a="b c" -- d`, `"`, "a\x00", `x"y z"w -- --`, `a="b c`, `=a= "--" b`, "a\xa0b"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		c, err := Parse(s)
		if err != nil {
			if !errors.Is(err, ErrBad) || !strings.Contains(s, "\x00") {
				t.Fatalf("Parse(%q) = %v; want an error for a NUL byte only", s, err)
			}
			return
		}
		var texts []string
		for _, a := range append(slices.Clone(c.Args), c.Init...) {
			texts = append(texts, a.Text)
			if rest := strings.TrimPrefix(a.Text, `"`); !strings.HasPrefix(rest, a.Name) || !strings.Contains(a.Text, a.Value) || a.Set && a.Name == "" {
				t.Fatalf("%q is taken for %q = %q", a.Text, a.Name, a.Value)
			}
		}
		want := splitByQuotes(s)
		if i := slices.IndexFunc(want, func(w string) bool { return w == "--" || w == `"--"` || w == `"--` }); i >= 0 {
			want = slices.Delete(want, i, i+1)
		}
		if !slices.Equal(texts, want) {
			t.Fatalf("Parse(%q) has the words %q; want %q", s, texts, want)
		}
		again, err := Parse(c.String())
		if err != nil {
			t.Fatalf("Parse(%q).String() = %q does not parse: %v", s, c, err)
		}
		if again.String() != c.String() || len(again.Args) != len(c.Args) || len(again.Init) != len(c.Init) {
			t.Fatalf("Parse(%q) = %q; parsed again %q", s, c, again)
		}
		more, err := Parse(c.Append(Cmdline{Args: []Arg{parseArg("panic=10")}}).String())
		if err != nil || len(more.Args) != len(c.Args)+1 || len(more.Init) != len(c.Init) || !more.Has("panic") {
			t.Fatalf("panic=10 behind %q gives %q, %v", s, more, err)
		}
		kept, dropped := c.Without(func(a Arg) bool { return Same(a.Name, "crashkernel") })
		if kept.Has("crashkernel") || len(kept.Args)+len(dropped) != len(c.Args) {
			t.Fatalf("Without(crashkernel) of %q left %q, dropped %d", s, kept, len(dropped))
		}
	})
}
