package main

import (
	"bytes"
	"compress/gzip"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/gokexec/gokexec/internal/imagetest"
	"github.com/gokexec/gokexec/internal/kexectest"
)

const benchRelease = "6.12.9-gokexec" // of the bench's kernel

// cpioOf is an initramfs with files of so many bytes, compressed by gzip.
func cpioOf(t *testing.T, files map[string]int) []byte {
	t.Helper()
	var list []imagetest.CpioFile
	for name, size := range files {
		list = append(list, imagetest.CpioFile{Name: name, Size: size})
	}
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if err := errors.Join(imagetest.WriteCpio(w, list...), w.Close()); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// link makes a symbolic link in the bench's machine.
func (b *bench) link(target, name string) {
	b.t.Helper()
	path := filepath.Join(b.kernel.Dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		b.t.Fatal(err)
	}
	if err := os.Symlink(target, path); err != nil {
		b.t.Fatal(err)
	}
}

// virtioDisk gives the machine /dev/vda1, and the modules of the bench's kernel.
func (b *bench) virtioDisk() {
	const disk = "devices/pci0000:00/0000:00:01.0/virtio0/block/vda/vda1"
	b.kernel.Write("sys/devices/pci0000:00/0000:00:01.0/virtio0/modalias", "virtio:d00000002v00001AF4\n")
	b.kernel.Write("sys/"+disk+"/dev", "254:1\n")
	b.link("../../"+disk, "sys/class/block/vda1")
	dir := "lib/modules/" + benchRelease + "/"
	b.kernel.Write(dir+"modules.dep", "kernel/drivers/block/virtio_blk.ko:\n")
	b.kernel.Write(dir+"modules.alias", "alias virtio:d00000002v* virtio_blk\n")
	for _, name := range []string{"builtin", "softdep", "weakdep"} {
		b.kernel.Write(dir+"modules."+name, "")
	}
	b.kernel.Write(dir+"kernel/drivers/block/virtio_blk.ko", "module")
}

// lockdown makes the machine as Secure Boot leaves it.
func (b *bench) lockdown() {
	b.kernel.Write("sys/kernel/security/lockdown", "none [integrity] confidentiality\n")
}

// Each pain that users report and a loader can see is answered with its remedy: a machine, a
// command, and what it has to say.
func TestPains(t *testing.T) {
	crash := func(more ...string) []string { return append([]string{"load", "--crash"}, more...) }
	fails := func(errnos ...unix.Errno) func(*bench) {
		return func(b *bench) { b.kernel.FailEarly = errnos }
	}
	region := func(from, to string) func(*bench) {
		return func(b *bench) { b.kernel.Write("proc/iomem", strings.Replace(kexectest.Iomem, from, to, 1)) }
	}
	const noRegion = "  36000000-3dffffff : Crash kernel\n"
	initrd := func(files map[string]int) func(*bench) {
		return func(b *bench) { b.initrd = b.file("initrd", cpioOf(b.t, files)) }
	}
	module := func(release, name string) map[string]int {
		return map[string]int{"init": 10, "usr/lib/modules/" + release + "/kernel/drivers/" + name + ".ko.xz": 100}
	}
	// K is the kernel, I the initrd.
	for _, tt := range []struct {
		name  string
		setup func(*bench)
		argv  []string
		code  int
		want  []string
	}{
		{"no crash memory asked for", func(b *bench) {
			region(noRegion, "")(b)
			b.kernel.Write("proc/cmdline", "root=/dev/vda1\n")
		}, crash("K"), 1, []string{"without crashkernel=", "add crashkernel=256M"}},
		{"reservation failed, by KASLR", region(noRegion, ""), crash("K"), 1, []string{"although the kernel was booted with crashkernel=128M", "nokaslr", `",high"`}},
		{"crash kernel runs out of memory", region("36000000-3dffffff", "36000000-39ffffff"), []string{"check"}, 0, []string{"64 MiB are reserved, a capture of this machine needs about", "may run out of memory", "boot with crashkernel="}},
		{"kernel and initrd do not fit", func(b *bench) { b.initrd = b.file("initrd", make([]byte, 100<<20)) }, crash("K", "--initrd", "I"), 1,
			[]string{"do not fit the crash memory of 128 MiB", "enlarge crashkernel= to 192 MiB", "smaller initrd"}},
		{"no free area", fails(unix.EADDRNOTAVAIL), crash("K"), 1, []string{"enlarge crashkernel="}},
		{"no memory for the kernel's copy", fails(unix.ENOMEM), crash("K"), 1, []string{"enlarge crashkernel="}},
		{"initramfs unpacking failed: write error", initrd(map[string]int{"init": 70 << 20}), []string{"check", "K", "--initrd", "I"}, 1,
			[]string{"write error", "half of its memory", "enlarge crashkernel= to 224 MiB", "initramfs_options=size=90%"}},
		{"unpacked initrd beyond the memory", initrd(map[string]int{"init": 100 << 20}), []string{"check", "K", "--initrd", "I", "--cmdline", "root=/dev/vda1"}, 1,
			[]string{"left of the crash memory", "enlarge crashkernel="}},
		{"unpacked initrd leaves little", initrd(map[string]int{"init": 45 << 20}), []string{"check", "K", "--initrd", "I"}, 0, []string{"little is left to run in"}},
		{"damaged initrd", func(b *bench) {
			file := cpioOf(b.t, map[string]int{"init": 100000})
			b.initrd = b.file("initrd", file[:len(file)/2])
		}, []string{"check", "K", "--initrd", "I"}, 1, []string{"unexpected EOF", "make it anew"}},
		{"damaged initrd, loaded", func(b *bench) {
			file := cpioOf(b.t, map[string]int{"init": 1 << 20})
			b.initrd = b.file("initrd", file[:len(file)/2])
		}, crash("K", "--initrd", "I"), 1, []string{"unexpected EOF", "make it anew", "--force loads it as it is"}},
		{"no initramfs at all", func(b *bench) { b.initrd = b.file("initrd", []byte("root:x:0:0:root:/root:/bin/sh\n")) }, crash("K", "--initrd", "I"), 1,
			[]string{"not an initramfs", "--force"}},
		{"no initramfs, checked", func(b *bench) { b.initrd = b.file("initrd", []byte("root:x:0:0:root:/root:/bin/sh\n")) }, []string{"check", "K", "--initrd", "I"}, 1,
			[]string{"not an initramfs"}},
		{"no initramfs, forced", func(b *bench) { b.initrd = b.file("initrd", []byte("root:x:0:0:root:/root:/bin/sh\n")) }, crash("K", "--initrd", "I", "--force"), 0,
			[]string{"warning: ", "not an initramfs", "crash kernel loaded"}},
		{"garbage behind the initramfs", func(b *bench) {
			b.initrd = b.file("initrd", append(cpioOf(b.t, map[string]int{"init": 1 << 10}), "garbage"...))
		}, crash("K", "--initrd", "I"), 0, []string{"something else than an archive follows", "crash kernel loaded"}},
		{"modules of another kernel, loaded", initrd(module("6.1.0-9-amd64", "virtio_blk")), crash("K", "--initrd", "I"), 0,
			[]string{"warning: ", "has modules of 6.1.0-9-amd64, the kernel is " + benchRelease, "crash kernel loaded"}},
		{"initrd of another kernel", initrd(module("6.1.0-9-amd64", "virtio_blk")), []string{"check", "K", "--initrd", "I"}, 0,
			[]string{"has modules of 6.1.0-9-amd64, the kernel is " + benchRelease, "gokexec initramfs --kernel " + benchRelease}},
		{"stale initrd", func(b *bench) {
			b.virtioDisk()
			initrd(module(benchRelease, "virtio_blk"))(b)
			old := time.Now().Add(-48 * time.Hour)
			if err := os.Chtimes(b.initrd, old, old); err != nil {
				b.t.Fatal(err)
			}
		}, []string{"check", "K", "--initrd", "I"}, 0, []string{"older than the modules of " + benchRelease, "make it anew"}},
		{"missing modules", func(b *bench) {
			b.virtioDisk()
			initrd(module(benchRelease, "nvme"))(b)
		}, []string{"check", "K", "--initrd", "I", "--reuse-cmdline"}, 0, []string{"lacks virtio_blk, without which the capture kernel does not find root=/dev/vda1", "dracut --add-drivers"}},
		{"command line lacks things", nil, []string{"check", "K", "--cmdline-exact", "--cmdline", "crashkernel=1G quiet"}, 0,
			[]string{"it lacks nr_cpus=1 reset_devices", "acpi_no_memhotplug", "root=", "it has crashkernel=1G", "leave --cmdline-exact out"}},
		{"command line too long", nil, crash("K", "--append", strings.Repeat("x", 3000)), 1, []string{"too long", "shorten it"}},
		{"secure boot, kexec_load", (*bench).lockdown, crash("K", "--method", "segments"), 1, []string{"refuses kexec_load", "use --method file with a signed kernel image"}},
		{"secure boot, not a signed kernel", func(b *bench) { b.lockdown(); fails(unix.EPERM)(b) }, crash("K"), 1,
			[]string{"lockdown is integrity", "the distribution's own signed kernel image"}},
		{"secure boot, unload", func(b *bench) {
			b.run("load", "--crash", b.vmlinuz)
			b.lockdown()
			fails(unix.EPERM)(b)
		}, []string{"unload", "--crash"}, 1, []string{"lockdown is integrity", "kexec -s -p -u"}},
		{"signer not known", func(b *bench) {
			b.kernel.Write("boot/config-6.12.1", "CONFIG_KEXEC_FILE=y\nCONFIG_SECONDARY_TRUSTED_KEYRING=y\nCONFIG_INTEGRITY_MACHINE_KEYRING=y\nCONFIG_INTEGRITY_PLATFORM_KEYRING=y\n")
			fails(unix.EKEYREJECTED)(b)
		}, crash("K"), 1, []string{"signature is by a key that the kernel does not trust", ".secondary_trusted_keys", ".platform (the firmware's db, and MOK)", "mokutil --import"}},
		{"signer not known, lockdown", func(b *bench) { b.lockdown(); fails(unix.EKEYREJECTED)(b) }, crash("K"), 1, []string{"own signed kernel image", ".builtin_trusted_keys"}},
		{"signer not known, no secure boot", func(b *bench) {
			b.kernel.Write("sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c", "\x06\x00\x00\x00\x00")
			fails(unix.EKEYREJECTED)(b)
		}, crash("K"), 1, []string{"although Secure Boot is off (CONFIG_KEXEC_SIG_FORCE)", "--method segments"}},
		{"key is missing", fails(unix.ENOKEY), crash("K"), 1, []string{"enrol it (MOK)", ".builtin_trusted_keys"}},
		{"kernel without a signature", fails(unix.ENODATA), crash("K"), 1, []string{"is not signed", "without unpacking it"}},
		{"IMA", fails(unix.EACCES), crash("K"), 1, []string{"IMA appraisal", "security.ima"}},
		{"another loader", func(b *bench) { b.kernel.Busy = 1000 }, crash("K", "--wait", "0s"), 1, []string{"another program holds the kexec lock", "--wait"}},
		{"a load that may not be tried again", func(b *bench) { b.kernel.Write("proc/sys/kernel/kexec_load_limit_panic", "1\n") }, []string{"check"}, 0,
			[]string{"each attempt uses one", "run once more by hand"}},
		{"limit on loads is spent", func(b *bench) { b.kernel.Write("proc/sys/kernel/kexec_load_limit_panic", "0\n") }, crash("K"), 1, []string{"no load is left", "sysctl.d"}},
		{"loading is disabled", func(b *bench) { b.kernel.Write("proc/sys/kernel/kexec_load_disabled", "1\n") }, crash("K"), 1, []string{"kexec_load_disabled is 1", "next boot"}},
		{"in a container", func(b *bench) { b.kernel.Write("proc/self/status", "CapEff:\t00000000a80425fb\n") }, crash("K"), 1, []string{"CAP_SYS_BOOT", "outside of containers"}},
		{"no kexec_file_load", fails(unix.ENOSYS), crash("K", "--method", "file"), 1, []string{"try --method segments"}},
		{"image of a kind the kernel does not know", fails(unix.ENOEXEC), crash("K", "--method", "file"), 1, []string{"a zboot image or a UKI that was not unpacked", "gokexec check FILE"}},
		{"EINVAL of a UKI on arm64", fails(unix.EINVAL), crash("K", "--method", "file"), 1, []string{`"not an Image"`, "UKI"}},
		{"UKI", func(b *bench) {
			z := imagetest.GoodBzImage()
			b.vmlinuz = b.file("linux.efi", imagetest.PE(0x8664, imagetest.Section{Name: ".linux", Data: z.Bytes()}, imagetest.Section{Name: ".cmdline", Data: []byte("root=/dev/vda1")}))
		}, crash("K", "-n"), 0, []string{"uki"}},
		{"PE program without a kernel", func(b *bench) {
			b.vmlinuz = b.file("linux.efi", imagetest.PE(0x8664, imagetest.Section{Name: ".text", Data: []byte("x")}))
		}, crash("K"), 1, []string{"hint: "}},
		{"kernel of another machine", func(b *bench) { b.vmlinuz = b.file("Image", imagetest.GoodARM64().Bytes()) }, crash("K"), 1, []string{"this machine is x86_64", "give a kernel built for x86_64"}},
		{"LUKS2 and little memory", func(b *bench) {
			b.kernel.Write("sys/class/block/dm-0/dm/uuid", "CRYPT-LUKS2-5fb1e4c0-luks-root\n")
			b.kernel.Write("sys/class/block/dm-0/dm/name", "luks-root\n")
		}, []string{"check"}, 0, []string{"luks-root is encrypted (LUKS2)", "Argon2 up to 1024 MiB", "crashkernel=1536M", "crash_dm_crypt_keys"}},
		{"LUKS with its key handed over", func(b *bench) {
			b.kernel.Write("sys/class/block/dm-0/dm/uuid", "CRYPT-LUKS2-5fb1e4c0-luks-root\n")
			b.kernel.Write("sys/kernel/config/crash_dm_crypt_keys/count", "1\n")
		}, []string{"check"}, 0, []string{"its key goes into the crash memory"}},
		{"watchdog fires in the middle of the dump", func(b *bench) {
			b.kernel.Write("sys/class/watchdog/watchdog0/state", "active\n")
			b.kernel.Write("sys/class/watchdog/watchdog0/identity", "iTCO_wdt\n")
			b.kernel.Write("sys/class/watchdog/watchdog0/timeout", "30\n")
			b.link("../../../../module/iTCO_wdt", "sys/class/watchdog/watchdog0/device/driver/module")
		}, []string{"check"}, 0, []string{"watchdog0 (iTCO_wdt) runs, and resets the machine 30 s after the panic", "gokexec initramfs --watchdog --module iTCO_wdt"}},
		{"watchdog that the initrd knows", func(b *bench) {
			b.kernel.Write("sys/class/watchdog/watchdog0/state", "active\n")
			b.link("../../../../module/iTCO_wdt", "sys/class/watchdog/watchdog0/device/driver/module")
			initrd(module(benchRelease, "iTCO_wdt"))(b)
		}, []string{"check", "K", "--initrd", "I"}, 0, []string{"its driver iTCO_wdt is in the initrd"}},
		{"black screen", func(b *bench) { b.kernel.Write("proc/fb", "0 amdgpudrmfb\n") }, []string{"check", "K", "--cmdline", "quiet"}, 0, []string{"it stays black", "console=ttyS0"}},
		{"graphics driver hangs", initrd(module(benchRelease, "nouveau")), []string{"check", "K", "--initrd", "I"}, 0, []string{"graphics driver nouveau", "append nomodeset"}},
		{"reload storm", func(b *bench) {
			b.kernel.Write("sys/kernel/crash_elfcorehdr_size", "8192\n")
			b.kernel.Write("usr/lib/udev/rules.d/50-kdump-tools.rules", `SUBSYSTEM=="memory", ACTION=="online", PROGRAM="/usr/sbin/kdump-config try-reload"`+"\n")
			b.kernel.Write("usr/lib/udev/rules.d/98-kexec.rules", `SUBSYSTEM=="memory", ATTRS{crash_hotplug}=="1", GOTO="kdump_reload_end"`+"\n")
		}, []string{"check"}, 0, []string{"/usr/lib/udev/rules.d/50-kdump-tools.rules reloads the crash kernel for every CPU", `ATTRS{crash_hotplug}=="1"`}},
		{"reload storm, hidden", func(b *bench) {
			b.kernel.Write("sys/kernel/crash_elfcorehdr_size", "8192\n")
			b.kernel.Write("usr/lib/udev/rules.d/50-kdump-tools.rules", `SUBSYSTEM=="memory", ACTION=="online", PROGRAM="/usr/sbin/kdump-config try-reload"`+"\n")
			b.kernel.Write("etc/udev/rules.d/50-kdump-tools.rules", "")
		}, []string{"check"}, 0, []string{"none that reloads without need"}},
		{"another rule unloads first", func(b *bench) {
			b.kernel.Write("usr/lib/udev/rules.d/60-gokexec.rules", `SUBSYSTEM!="memory|cpu", GOTO="gokexec_end"`+"\n"+`RUN+="/usr/sbin/gokexec hotplug"`+"\n")
			b.kernel.Write("usr/lib/udev/rules.d/98-kexec.rules", `SUBSYSTEM=="memory", ATTRS{crash_hotplug}=="1", GOTO="kdump_reload_end"`+"\n")
		}, []string{"check"}, 0, []string{"/usr/lib/udev/rules.d/98-kexec.rules", "beside gokexec's own 60-gokexec.rules", "gokexec-hide-rules hide"}},
		{"another rule, hidden", func(b *bench) {
			b.kernel.Write("usr/lib/udev/rules.d/60-gokexec.rules", `SUBSYSTEM!="memory|cpu", RUN+="/usr/sbin/gokexec hotplug"`+"\n")
			b.kernel.Write("usr/lib/udev/rules.d/98-kexec.rules", `SUBSYSTEM=="memory", RUN+="kdump-udev-throttler"`+"\n")
			b.kernel.Write("etc/udev/rules.d/98-kexec.rules", "# Made by gokexec\n")
		}, []string{"check"}, 0, []string{"none that reloads without need"}},
		{"too large for a kexec", func(b *bench) {
			b.kernel.Write("proc/meminfo", "MemTotal: 60000 kB\n")
		}, []string{"load", "--boot", "K"}, 1, []string{"more than half of this machine's memory", "use a smaller initrd"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := newBench(t)
			if tt.setup != nil {
				tt.setup(b)
			}
			argv := append([]string(nil), tt.argv...)
			for i, a := range argv {
				switch a {
				case "K":
					argv[i] = b.vmlinuz
				case "I":
					argv[i] = b.initrd
				}
			}
			if code := b.run(argv...); code != tt.code {
				t.Errorf("gokexec %.200q = %d; want %d", argv, code, tt.code)
			}
			text := b.stdout.String() + b.stderr.String()
			for _, want := range tt.want {
				if !strings.Contains(text, want) {
					t.Errorf("gokexec %.200q lacks %q:\n%s", argv, want, text)
				}
			}
			if argv[0] != "check" && tt.code != 0 && !strings.Contains(b.stderr.String(), "hint: ") {
				t.Errorf("gokexec %.200q gives no hint:\n%s", argv, &b.stderr)
			}
		})
	}
}

// A machine without any of the pains has none of the warnings.
func TestNoPain(t *testing.T) {
	b := newBench(t)
	b.virtioDisk()
	b.initrd = b.file("initrd", cpioOf(t, map[string]int{"init": 1 << 20, "lib/modules/" + benchRelease + "/kernel/drivers/block/virtio_blk.ko": 1000}))
	later := time.Now().Add(time.Minute)
	if err := os.Chtimes(b.initrd, later, later); err != nil {
		t.Fatal(err)
	}
	b.want(exitOK, "what root=/dev/vda1 needs is there", "", "check", b.vmlinuz, "--initrd", b.initrd, "--reuse-cmdline")
	for _, word := range []string{"warning", "failure"} {
		if strings.Contains(b.stdout.String(), word+" ") {
			t.Errorf("check of a good machine has a %s:\n%s", word, &b.stdout)
		}
	}
}
