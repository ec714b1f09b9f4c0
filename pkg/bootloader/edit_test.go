package bootloader

import (
	"errors"
	"os/exec"
	"reflect"
	"strings"
	"testing"

	"github.com/gokexec/gokexec/pkg/cmdline"
)

func TestSetRefuses(t *testing.T) {
	suse := files{"proc/cmdline": "BOOT_IMAGE=/boot/vmlinuz-6.4\n", "boot/grub2/grub.cfg": grubCfg, "usr/sbin/grub2-mkconfig": "#!/bin/sh\n"}
	stub := files{"proc/cmdline": "root=UUID=1\n", loaderVariable("StubInfo"): efiText("systemd-stub 257"), "efi/EFI/Linux/v.efi": uki(running), "usr/bin/ukify": "x"}
	for _, tt := range []struct {
		name   string
		files  files
		manual string
		err    string // "": it is left to the administrator
	}{
		{"no boot loader", files{"proc/cmdline": "console=ttyS0\n"}, "add crashkernel=256M to the kernel's command line in the configuration of your boot loader", ""},
		{"a program in the value", suse.with(files{"etc/default/grub": "GRUB_TIMEOUT=1\nGRUB_CMDLINE_LINUX_DEFAULT=\"$(cat /etc/words)\"\n"}), "add crashkernel=256M to GRUB_CMDLINE_LINUX_DEFAULT in /etc/default/grub, then run grub2-mkconfig -o /boot/grub2/grub.cfg",
			"/etc/default/grub: line 2: the value of GRUB_CMDLINE_LINUX_DEFAULT is not understood"},
		{"an open quote", suse.with(files{"etc/default/grub": "GRUB_CMDLINE_LINUX_DEFAULT=\"quiet\n"}), "GRUB_CMDLINE_LINUX_DEFAULT", "line 1"},
		{"two strings in one", suse.with(files{"etc/default/grub": "GRUB_CMDLINE_LINUX_DEFAULT=\"quiet\"'more'\n"}), "GRUB_CMDLINE_LINUX_DEFAULT", "not understood"},
		{"Secure Boot", stub.with(files{"sys/firmware/efi/efivars/SecureBoot-" + globalGUID: "\x06\x00\x00\x00\x01"}), "ukify build --cmdline=crashkernel=256M --output=/efi/loader/addons/gokexec.addon.efi", ""},
		{"an old stub", stub.with(files{loaderVariable("StubInfo"): efiText("systemd-stub 252")}), "before version 254", ""},
		{"no ukify", files{"proc/cmdline": "root=UUID=1\n", loaderVariable("StubInfo"): efiText("systemd-stub 257"), "efi/EFI/Linux/v.efi": uki(running)}, "ukify build", ""},
	} {
		c, err := Set(tt.files.FS(), []string{want}, false)
		if (err != nil) != (tt.err != "") || err != nil && !strings.Contains(err.Error(), tt.err) || err == nil && !c.ByHand {
			t.Errorf("%s: Set = %+v, %v; want %q, or by hand", tt.name, c, err, tt.err)
		}
		if !strings.Contains(c.Manual, tt.manual) || len(c.Files) > 0 || len(c.Commands) > 0 {
			t.Errorf("%s: Manual = %q, changes %+v, runs %q; want %q and nothing", tt.name, c.Manual, c.Files, c.Commands, tt.manual)
		}
	}
}

func TestWords(t *testing.T) {
	for _, tt := range []struct{ line, want, bare string }{
		{"", "crashkernel=1G", ""},
		{"quiet", "quiet crashkernel=1G", "quiet"},
		{"quiet  \t", "quiet crashkernel=1G  \t", "quiet  \t"},
		{"crashkernel=5M quiet", "quiet crashkernel=1G", "quiet"},
		{"a  crashkernel=5M,high  crashkernel=1M,low  b", "a  b crashkernel=1G", "a  b"},
		{"a -- crashkernel=5M", "a crashkernel=1G -- crashkernel=5M", "a -- crashkernel=5M"},
		{"-- a", "crashkernel=1G -- a", "-- a"},
		{`x="a crashkernel=5M b" y`, `x="a crashkernel=5M b" y crashkernel=1G`, `x="a crashkernel=5M b" y`},
		{`a x="open`, `crashkernel=1G a x="open`, `a x="open`},
		{"nocrashkernel=1 crashkernel crashkernel_x=2", "nocrashkernel=1 crashkernel crashkernel_x=2 crashkernel=1G", "nocrashkernel=1 crashkernel crashkernel_x=2"},
		{"fooà", "fooà crashkernel=1G", "fooà"},
	} {
		e := &edit{add: []string{"crashkernel=1G"}, replace: true, change: &Change{}}
		if got := e.line("x", tt.line); got != tt.want {
			t.Errorf("line(%q) = %q; want %q", tt.line, got, tt.want)
		}
		if got := without(tt.line, isReservation); got != tt.bare {
			t.Errorf("without(%q) = %q; want %q", tt.line, got, tt.bare)
		}
	}
}

// others are the words of a command line that are no reservation.
func others(t *testing.T, s string) (kernel, init []string, reserved []string) {
	c, err := cmdline.Parse(s)
	if err != nil {
		t.Fatalf("Parse(%q): %v", s, err)
	}
	for _, a := range c.Args {
		if a.Set && a.Name == parameter {
			reserved = append(reserved, a.Text)
			continue
		}
		kernel = append(kernel, a.Text)
	}
	for _, a := range c.Init {
		init = append(init, a.Text)
	}
	return kernel, init, reserved
}

// FuzzLine: a command line, changed, is read by the kernel as the same but for the reservation, which is the new one.
func FuzzLine(f *testing.F) {
	for _, s := range []string{"quiet", `a "b c" crashkernel=1M -- x "y`, "crashkernel=\"1 2\" \xa0 é\xc3\xa0", `x="`, "-- a", "\ncrashkernel=2\v\n b"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if strings.Contains(s, "\x00") {
			return
		}
		e := &edit{add: []string{"crashkernel=1G,high", "crashkernel=64M,low"}, replace: true, change: &Change{}}
		changed := e.line("x", s)
		kernel, init, _ := others(t, s)
		k, i, reserved := others(t, changed)
		if !reflect.DeepEqual(k, kernel) || !reflect.DeepEqual(i, init) || !reflect.DeepEqual(reserved, e.add) {
			t.Errorf("line(%q) = %q: words %q, init's %q, reservations %q; want %q, %q, %q", s, changed, k, i, reserved, kernel, init, e.add)
		}
		if again := e.line("x", changed); again != changed {
			t.Errorf("line(%q) = %q; want it unchanged", changed, again)
		}
	})
}

// FuzzVariable: a file of shell variables, changed, is the same but for the value of one, whose words are.
func FuzzVariable(f *testing.F) {
	for _, s := range []string{debianDefaults, "A=1\nexport GRUB_CMDLINE_LINUX='x crashkernel=1M'\n", "GRUB_CMDLINE_LINUX=\"a \\\n b\" # c\nGRUB_CMDLINE_LINUX+=\" crashkernel=2\"", "GRUB_CMDLINE_LINUX=a;B=2", `GRUB_CMDLINE_LINUX="\"a b\" \$c"`} {
		f.Add(s)
	}
	const name = "GRUB_CMDLINE_LINUX"
	f.Fuzz(func(t *testing.T, text string) {
		if strings.Contains(text, "\x00") || strings.Contains(text, continued) {
			return
		}
		e := &edit{add: []string{"crashkernel=1G"}, replace: true, change: &Change{}}
		changed, err := editVariable(e, "x", text, name)
		if err != nil {
			if !errors.Is(err, errShell) {
				t.Errorf("editVariable: %v; want errShell", err)
			}
			return
		}
		before, _ := assignments(text, name)
		after, err := assignments(changed, name)
		if err != nil || len(after) != max(len(before), 1) {
			t.Fatalf("%q became %q: %d assignments, %v; want %d", text, changed, len(after), err, len(before))
		}
		if len(before) == 0 {
			if want := closed(text) + name + "=\"crashkernel=1G\"\n"; changed != want {
				t.Errorf("%q became %q; want %q", text, changed, want)
			}
			return
		}
		// All but the values is the same.
		rest := func(s string, all []assignment) string {
			var b strings.Builder
			at := 0
			for _, a := range all {
				b.WriteString(s[at:a.start] + "=")
				at = a.end
			}
			return b.String() + s[at:]
		}
		if rest(text, before) != rest(changed, after) {
			t.Errorf("%q became %q; want only the values changed", text, changed)
		}
		var reserved []string
		for i := range after {
			k, in, r := others(t, strings.ReplaceAll(after[i].value, "\\\n", continued))
			wasK, wasIn, _ := others(t, strings.ReplaceAll(before[i].value, "\\\n", continued))
			if before[i].quote == `'` {
				k, in, r = others(t, after[i].value)
				wasK, wasIn, _ = others(t, before[i].value)
			}
			reserved = append(reserved, r...)
			if !reflect.DeepEqual(k, wasK) || !reflect.DeepEqual(in, wasIn) {
				t.Errorf("%q became %q: words %q, init's %q; want %q, %q", before[i].value, after[i].value, k, in, wasK, wasIn)
			}
		}
		if !reflect.DeepEqual(reserved, e.add) {
			t.Errorf("%q became %q: reservations %q; want %q", text, changed, reserved, e.add)
		}
	})
}

// The drop-in is a shell script for grub-mkconfig: what a shell makes of it is what kernels get.
func TestGRUBDropinInShell(t *testing.T) {
	sh, err := exec.LookPath("sh")
	if err != nil {
		t.Skip("no shell")
	}
	for _, tt := range []struct {
		defaults string
		others   bool
		want     string
	}{
		{"GRUB_CMDLINE_LINUX_DEFAULT=quiet", false, "<><quiet crashkernel=256M>"},
		{"", false, "<>< crashkernel=256M>"},
		{"GRUB_CMDLINE_LINUX='crashkernel=1G,high a=* b'\nGRUB_CMDLINE_LINUX_DEFAULT=\"quiet crashkernel=512M-:192M\"", true, "<a=* b ><quiet  crashkernel=256M>"},
		{"set -eu\nGRUB_CMDLINE_LINUX=\nGRUB_CMDLINE_LINUX_DEFAULT=", true, "<>< crashkernel=256M>"},
	} {
		script := tt.defaults + "\n" + grubDropinText([]string{want}, tt.others) + `printf '<%s><%s>' "$GRUB_CMDLINE_LINUX" "$GRUB_CMDLINE_LINUX_DEFAULT"`
		if out, err := exec.Command(sh, "-c", script).CombinedOutput(); err != nil || string(out) != tt.want {
			t.Errorf("%q: the shell makes %q, %v; want %q", tt.defaults, out, err, tt.want)
		}
	}
}
