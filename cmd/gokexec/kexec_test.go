package main

import (
	"context"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/gokexec/gokexec/internal/kexeccmd"
	"github.com/gokexec/gokexec/pkg/record"
)

// fakePower notes what would be done to the machine.
type fakePower struct{ did []string }

func (p *fakePower) Sync()         { p.did = append(p.did, "sync") }
func (p *fakePower) IfDown() error { p.did = append(p.did, "ifdown"); return nil }
func (p *fakePower) Shutdown() error {
	p.did = append(p.did, "shutdown")
	return nil
}

// kexec runs gokexec under that name.
func (b *bench) kexec(argv ...string) (code int, did string) {
	b.t.Helper()
	b.stdout.Reset()
	b.stderr.Reset()
	power := &fakePower{}
	rebooted := b.kernel.Rebooted
	b.kernel.Rebooted = false
	e := &env{stdout: &b.stdout, stderr: &b.stderr, sysroot: b.kernel.Dir, stateDir: filepath.Join(b.kernel.Dir, "run/gokexec"), kernel: b.kernel, kmsg: b.kmsg, power: power}
	code = runAs(context.Background(), e, append([]string{"/sbin/kexec"}, argv...))
	if b.kernel.Rebooted {
		power.did = append(power.did, "jump")
	}
	b.kernel.Rebooted = b.kernel.Rebooted || rebooted
	return code, strings.Join(power.did, " ")
}

// loadedAs tells what is loaded: which image, by which call, with which command line.
func (b *bench) loadedAs() string {
	var s []string
	for _, kind := range []string{"crash", "boot"} {
		image := b.kernel.Crash
		if kind == "boot" {
			image = b.kernel.Boot
		}
		switch {
		case image == nil:
			continue
		case image.Segments != nil:
			s = append(s, kind+" by kexec_load")
			continue
		}
		initrd := ""
		if len(image.Initrd) > 0 {
			initrd = " with initrd"
		}
		s = append(s, kind+" by kexec_file_load"+initrd+": "+image.Cmdline)
	}
	return strings.Join(s, ", ")
}

// openQuote is a running kernel whose command line has a quote that is never closed.
func openQuote(b *bench) {
	b.kernel.Write("proc/cmdline", `BOOT_IMAGE=/vmlinuz root=UUID=1-2 crashkernel=1G dyndbg="file drivers/usb/* +p console=ttyS0`+"\n")
}

// kexecCase is a command line and what comes of it.
type kexecCase struct {
	name   string
	setup  func(*bench)
	argv   string // words parted by blanks, '~' for a blank in a word; K and I are the kernel and the initrd
	code   int
	loaded string // as loadedAs tells
	did    string
	stdout string // a part
	stderr string // a part; "": nothing
}

func (tt kexecCase) run(t *testing.T) {
	t.Helper()
	b := newBench(t)
	if tt.setup != nil {
		tt.setup(b)
	}
	var argv []string
	for _, word := range strings.Fields(tt.argv) {
		word = strings.ReplaceAll(word, "~", " ")
		switch {
		case word == "K":
			word = b.vmlinuz
		case word == "I":
			word = b.initrd
		case strings.HasSuffix(word, "=I"):
			word = strings.TrimSuffix(word, "I") + b.initrd
		}
		argv = append(argv, word)
	}
	code, did := b.kexec(argv...)
	if code != tt.code || did != tt.did || b.loadedAs() != tt.loaded {
		t.Errorf("kexec %s = %d, loaded %q, did %q; want %d, %q, %q\n%s", tt.argv, code, b.loadedAs(), did, tt.code, tt.loaded, tt.did, &b.stderr)
	}
	if !strings.Contains(b.stdout.String(), tt.stdout) || tt.stdout == "" && b.stdout.Len() > 0 {
		t.Errorf("kexec %s: stdout %q; want %q", tt.argv, &b.stdout, tt.stdout)
	}
	if !strings.Contains(b.stderr.String(), tt.stderr) || tt.stderr == "" && b.stderr.Len() > 0 {
		t.Errorf("kexec %s: stderr %q; want %q", tt.argv, &b.stderr, tt.stderr)
	}
}

func crashLoaded(b *bench) {
	if code, _ := b.kexec("-p", b.vmlinuz, "--append=old"); code != 0 {
		b.t.Fatalf("kexec -p = %d: %s", code, &b.stderr)
	}
}

func bootLoaded(b *bench) {
	if code, _ := b.kexec("-l", b.vmlinuz, "--append=old"); code != 0 {
		b.t.Fatalf("kexec -l = %d: %s", code, &b.stderr)
	}
}

const oldBoot, oldCrash = "boot by kexec_file_load: old", "crash by kexec_file_load: old"

// Every call that distributions' scripts make, with what they expect of it.
func TestKexecDistributions(t *testing.T) {
	const dumpService = "root=/dev/vda1~ro~reset_devices~systemd.unit=kdump-tools-dump.service~nr_cpus=1~irqpoll~usbcore.nousb"
	dump := strings.ReplaceAll(dumpService, "~", " ")
	for _, tt := range []kexecCase{
		{name: "Debian kdump-config load", argv: "-p --command-line=" + dumpService + " --initrd=I K",
			loaded: "crash by kexec_file_load with initrd: " + dump},
		{name: "Debian, Secure Boot", argv: "-p -s --command-line=" + dumpService + " --initrd=I K",
			loaded: "crash by kexec_file_load with initrd: " + dump},
		{name: "Debian, --args-linux for an ELF kernel", argv: "-p --args-linux --command-line=console=ttyS0 --initrd=I K",
			loaded: "crash by kexec_file_load with initrd: console=ttyS0"},
		{name: "Debian unload", setup: crashLoaded, argv: "-p -u"},
		{name: "Debian unload, Secure Boot", setup: crashLoaded, argv: "-s -p -u"},
		{name: "Debian kexec-load-kernel", argv: "-l K --initrd=I --append=root=/dev/vda1", did: "sync",
			loaded: "boot by kexec_file_load with initrd: root=/dev/vda1"},
		{name: "Debian kexec.init", setup: bootLoaded, argv: "-e", did: "sync ifdown jump", loaded: oldBoot},
		{name: "RHEL, -s twice", argv: "-s -s -p --command-line=console=ttyS0~irqpoll --initrd=I K",
			loaded: "crash by kexec_file_load with initrd: console=ttyS0 irqpoll"},
		{name: "RHEL i686", argv: "--elf64-core-headers -p --command-line=x --initrd=I K", loaded: "crash by kexec_file_load with initrd: x"},
		{name: "RHEL early kdump", argv: "-s -p --command-line=rd.earlykdump --initrd=I K", loaded: "crash by kexec_file_load with initrd: rd.earlykdump"},
		{name: "RHEL unload", setup: crashLoaded, argv: "-p -u"},
		{name: "SUSE load", argv: "-p K --append=root=kdump~quiet --initrd=I -a", loaded: "crash by kexec_file_load with initrd: root=kdump quiet"},
		{name: "SUSE unload", setup: crashLoaded, argv: "-a -p -u"},
		{name: "Bottlerocket", argv: "-ps --reuse-cmdline --append maxcpus=1~systemd.unit='capture-kernel-dump.service'~irqpoll K",
			loaded: "crash by kexec_file_load: root=/dev/vda1 ro quiet maxcpus=1 systemd.unit='capture-kernel-dump.service' irqpoll"},
		{name: "--reuse-cmdline of an open quote", setup: openQuote, argv: "-p --reuse-cmdline K",
			loaded: `crash by kexec_file_load: root=UUID=1-2 dyndbg="file drivers/usb/* +p console=ttyS0`},
		{name: "--reuse-cmdline of an open quote, for a reboot", setup: openQuote, argv: "-l --reuse-cmdline K", did: "sync",
			loaded: `boot by kexec_file_load: root=UUID=1-2 crashkernel=1G dyndbg="file drivers/usb/* +p console=ttyS0`},
		{name: "--reuse-cmdline of an open quote, with more", setup: openQuote, argv: "-p --reuse-cmdline --append=a K",
			loaded: `crash by kexec_file_load: root=UUID=1-2 dyndbg="file drivers/usb/* +p console=ttyS0 a`, stderr: "is not closed, so the appended text becomes part of the quoted value"},
		{name: "SteamOS", argv: "-s -p K --initrd I --append=panic=-1~oops=panic", loaded: "crash by kexec_file_load with initrd: panic=-1 oops=panic"},
		{name: "SONiC load", argv: "-l K --initrd=I --append=a~b -a", did: "sync", loaded: "boot by kexec_file_load with initrd: a b"},
		{name: "SONiC load, Secure Boot", argv: "-l K --initrd=I --append=a~b -s", did: "sync", loaded: "boot by kexec_file_load with initrd: a b"},
		{name: "SONiC unload", setup: bootLoaded, argv: "-u -a"},
		{name: "SONiC jump", setup: bootLoaded, argv: "-e", did: "sync ifdown jump", loaded: oldBoot},
		{name: "NixOS boot.crashDump", argv: "-p K --initrd=I --reset-vga --console-vga --command-line=init=/nix/x~irqpoll~maxcpus=1~reset_devices",
			loaded: "crash by kexec_file_load with initrd: init=/nix/x irqpoll maxcpus=1 reset_devices"},
		{name: "Yocto load", argv: "-p K --append=root=/dev/sda1~1", loaded: "crash by kexec_file_load: root=/dev/sda1 1"},
		{name: "Yocto unload", setup: crashLoaded, argv: "-p -u"},
		{name: "Gentoo load", argv: "--reuse-cmdline -l K --append=root=/dev/sda1~ --initrd=I", did: "sync",
			loaded: "boot by kexec_file_load with initrd: root=/dev/vda1 ro quiet crashkernel=128M root=/dev/sda1 "},
		{name: "Gentoo unload", setup: bootLoaded, argv: "-u"},
		{name: "ZFSBootMenu", argv: "-a -l K --initrd=I --command-line=root=zfs:AUTO~spl_hostid=0x1", did: "sync",
			loaded: "boot by kexec_file_load with initrd: root=zfs:AUTO spl_hostid=0x1"},
		{name: "systemd load", argv: "--load K --append root=/dev/vda1 --initrd I", did: "sync", loaded: "boot by kexec_file_load with initrd: root=/dev/vda1"},
		{name: "systemd-shutdown", setup: bootLoaded, argv: "-e", did: "sync ifdown jump", loaded: oldBoot},
		{name: "Petitboot", argv: "-l --debug --initrd=I --append=console=hvc0 K", did: "sync",
			loaded: "boot by kexec_file_load with initrd: console=hvc0", stderr: "would load the boot kernel"},
	} {
		t.Run(tt.name, tt.run)
	}
}

func TestKexecCommands(t *testing.T) {
	disarmed := func(b *bench) { b.kernel.Write("proc/iomem", "00001000-3fffffff : System RAM\n") }
	noFile := func(b *bench) { b.kernel.NoFileLoad = true }
	for _, tt := range []kexecCase{
		{name: "status: nothing", argv: "-S"},
		{name: "status: crash", setup: crashLoaded, argv: "-S", code: 1, loaded: oldCrash},
		{name: "status of boot, crash loaded", setup: crashLoaded, argv: "-l -S", loaded: oldCrash},
		{name: "status of boot", setup: bootLoaded, argv: "-lS", code: 1, loaded: oldBoot},
		{name: "status with -d", setup: crashLoaded, argv: "-d -S", code: 1, loaded: oldCrash},
		{name: "status without kexec", setup: func(b *bench) { b.kernel.Remove("sys/kernel/kexec_crash_loaded") }, argv: "--status", code: 255},
		{name: "crash size", argv: "--print-ckr-size --bogus", stdout: "134217728\n"},
		{name: "crash size: none", setup: disarmed, argv: "--print-ckr-size", stdout: "0\n"},
		{name: "version", argv: "-v", stdout: "kexec-tools 2.0.32 (gokexec"},
		{name: "help", argv: "--help", stdout: "Usage: kexec [OPTION]... [kernel]"},
		{name: "unknown option", argv: "--bogus", code: 1, stdout: "Usage:", stderr: "/sbin/kexec: unrecognized option '--bogus'\n"},
		{name: "no arguments", code: 255, stdout: "Usage:", stderr: "No kernel specified\n"},
		{name: "-p without memory", setup: disarmed, argv: "-p K", code: 1, stderr: kexeccmd.TextNoCrashMemory + "\n"},
		{name: "-u -p", setup: crashLoaded, argv: "-u -p", code: 255, stdout: "Usage:", stderr: "-p -u only unloads\nNo kernel specified\n"},
		{name: "-u -p K", setup: crashLoaded, argv: "-u -p K --append=new", loaded: "crash by kexec_file_load: new"},
		{name: "-u with a loader's option", setup: crashLoaded, argv: "-p -u --append=x", code: 1, stdout: "Usage:", loaded: oldCrash},
		{name: "missing kernel", argv: "-l /nonexistent", code: 1, stderr: "Cannot open `/nonexistent': No such file or directory\nhint: "},
		{name: "missing kernel, -c", argv: "-c -l /nonexistent", code: 1, stderr: "Cannot open `/nonexistent': No such file or directory\n"},
		{name: "missing initrd", setup: crashLoaded, argv: "-p K --initrd=/nonexistent", code: 255, loaded: oldCrash,
			stderr: "Could not open initrd file /nonexistent:No such file or directory\nCannot load "},
		{name: "not a kernel", argv: "-l I", code: 255, stderr: "Cannot determine the file type of "},
		{name: "-c", argv: "-c -p K --append=x", loaded: "crash by kexec_load"},
		{name: "-c -l", argv: "-c -l K --append=x", did: "sync", loaded: "boot by kexec_load"},
		{name: "-s without the call", setup: noFile, argv: "-s -p K", code: 253, stderr: kexeccmd.TextNoFileLoad + "\n"},
		{name: "-a without the call", setup: noFile, argv: "-p K", loaded: "crash by kexec_load"},
		{name: "-s -u without the call", setup: noFile, argv: "-s -p -u", code: 253, stderr: kexeccmd.TextNoFileLoad + "\n"},
		{name: "-u without the call", setup: noFile, argv: "-p -u"},
		{name: "-e with nothing", argv: "-e", code: 1, stderr: kexeccmd.TextNothingLoaded + "\n"},
		{name: "-e -x -y", setup: bootLoaded, argv: "-exy", did: "jump", loaded: oldBoot},
		{name: "-f", argv: "-f K --append=x", did: "sync ifdown jump", loaded: "boot by kexec_file_load: x"},
		{name: "-f -l", argv: "-f -l K --append=x", did: "sync", loaded: "boot by kexec_file_load: x"},
		{name: "a kernel alone", argv: "K --append=x", did: "shutdown", loaded: "boot by kexec_file_load: x"},
		{name: "-f -p, nothing to jump to", argv: "-p -f K --append=x", code: 1, loaded: "crash by kexec_file_load: x", stderr: kexeccmd.TextNothingLoaded},
		{name: "-p for what needs --mem-max", argv: "-c --load-preserve-context K", code: 1, stderr: "\"--mem-max\" parameter"},
		{name: "kexec jump", argv: "-c --load-preserve-context --mem-max=0x10000000 K", code: 255, stderr: "kexec jump is not supported"},
		{name: "hotplug", argv: "--hotplug -p K", code: 1, stderr: "Path /sys/kernel/crash_elfcorehdr_size does not exist"},
		{name: "real mode", argv: "--real-mode -l K", code: 255, stderr: "--real-mode: gokexec enters kernels in 64-bit mode only"},
		{name: "Xen", argv: "--load-live-update K", code: 1, stderr: "--load-live-update can only be used with xen"},
		{name: "Xen's control domain", setup: func(b *bench) { b.kernel.Write("proc/xen/capabilities", "control_d\n") }, argv: "-p K", code: 255, stderr: "Xen's hypervisor"},
		{name: "type", argv: "-c -t bzImage -p K", loaded: "crash by kexec_load"},
		{name: "wrong type", argv: "-c -t elf-x86_64 -p K", code: 255, stderr: "Wrong file type elf-x86_64, file matches type bzImage64\n"},
		{name: "unknown type", argv: "-c -t foo -p K", code: 255, stderr: "Unsupported kernel type foo\n"},
		{name: "type by kexec_file_load", argv: "-s -t foo -p K --append=x", loaded: "crash by kexec_file_load: x"},
		{name: "bad serial port", argv: "--serial=ttyS7 -p -u", setup: crashLoaded, code: 255, stdout: "Usage:", stderr: "Bad serial port base 'ttyS7'", loaded: oldCrash},
		{name: "the last --append counts", argv: "-p K --append=a --command-line=b --noefi", loaded: "crash by kexec_file_load: b"},
		{name: "an open quote is the user's", argv: "-p K --append=a=\"b", loaded: "crash by kexec_file_load: a=\"b"},
		{name: "-- before the kernel", argv: "-p --append=a -- K", loaded: "crash by kexec_file_load: a"},
		{name: "too long for both calls", setup: crashLoaded, argv: "-p K --append=" + strings.Repeat("x", 2040), code: 255, stderr: "Cannot load ", loaded: oldCrash},
		{name: "disabled", setup: func(b *bench) { b.kernel.Write("proc/sys/kernel/kexec_load_disabled", "1\n") }, argv: "-p K", code: 255,
			stderr: "kexec_file_load failed: Operation not permitted\nhint: kernel.kexec_load_disabled is 1"},
		{name: "signature", setup: func(b *bench) { b.kernel.FailEarly = []unix.Errno{unix.EKEYREJECTED} }, argv: "-p K", code: 255,
			stderr: "kexec_file_load failed: Key was rejected by service\nhint: "},
		{name: "unload fails", setup: func(b *bench) { b.kernel.FailEarly = []unix.Errno{unix.EPERM} }, argv: "-p -u", code: 255,
			stderr: "kexec_file_load(unload) failed: Operation not permitted\n"},
		{name: "unload fails, -c", setup: func(b *bench) { b.kernel.FailEarly = []unix.Errno{unix.EPERM} }, argv: "-c -p -u", code: 255,
			stderr: "kexec unload failed: Operation not permitted\n"},
		{name: "busy", setup: func(b *bench) { b.kernel.Busy = 2 }, argv: "-p K --append=x", loaded: "crash by kexec_file_load: x"},
		{name: "restored", setup: func(b *bench) { crashLoaded(b); b.kernel.FailLate = []unix.Errno{unix.ENOMEM, 0} }, argv: "-p K --append=x", code: 255,
			stderr: "kexec_file_load failed: Cannot allocate memory\nhint: ", loaded: oldCrash},
		{name: "no room, where kexec_load is fallen back to", setup: noFile, argv: "-p K --mem-max=0x36100000", code: 1, stderr: "locate_hole failed\n"},
		{name: "device tree on x86", argv: "-p K --dtb=/nonexistent --append=x", loaded: "crash by kexec_file_load: x"},
		{name: "no room by kexec_load", setup: crashLoaded, argv: "-c -p K --mem-max=0x36100000", code: 1, stderr: "locate_hole failed\n", loaded: oldCrash},
	} {
		t.Run(tt.name, tt.run)
	}
}

// POSIXLY_CORRECT ends the options at the kernel, as for every program of glibc's.
func TestKexecPOSIX(t *testing.T) {
	b := newBench(t)
	t.Setenv("POSIXLY_CORRECT", "")
	if code, did := b.kexec(b.vmlinuz, "-p", "--bogus"); code != 0 || did != "shutdown" || b.loadedAs() != "boot by kexec_file_load: " {
		t.Errorf("kexec K -p --bogus = %d, did %q, loaded %q; want the kernel alone to count", code, did, b.loadedAs())
	}
}

// gokexec keeps what kexec has loaded accurate.
func TestKexecThenGokexec(t *testing.T) {
	b := newBench(t)
	crashLoaded(b)
	b.want(exitOK, "last loaded by gokexec: "+b.vmlinuz, "", "status")
	b.want(exitOK, "crash kernel reloaded", "", "reload")
	state, err := record.Read(filepath.Join(b.kernel.Dir, "run/gokexec"))
	if err != nil || state.Cmdline != "old" {
		t.Errorf("the reload's command line = %+v, %v; want that of kexec -p", state, err)
	}
	if code, _ := b.kexec("-p", "-u"); code != 0 {
		t.Errorf("kexec -p -u = %d", code)
	}
	b.want(exitNotLoaded, "crash kernel:  not loaded", "", "status")
}
