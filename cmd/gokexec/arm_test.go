package main

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/gokexec/gokexec/internal/imagetest"
	"github.com/gokexec/gokexec/internal/kexectest"
	"github.com/gokexec/gokexec/pkg/initramfs"
)

const armedDisk = "fs:UUID=00112233-4455-6677-8899-aabbccddeeff"

// newArmBench is a machine with a disk, whose running kernel lies in /boot, and a configuration that names a
// static program as init.
func newArmBench(t *testing.T) *bench {
	t.Helper()
	b := newBench(t)
	b.withDisk()
	z := imagetest.GoodBzImage()
	z.CmdlineSize, z.InitSize, z.KernelAlignment, z.PrefAddress = 2047, 40<<20, 2<<20, 16<<20
	z.Version = "6.12.1 (root@localhost) #1"
	b.kernel.Write("boot/vmlinuz-6.12.1", string(z.Bytes()))
	program := imagetest.GoodELF(elf.EM_X86_64, binary.LittleEndian)
	b.file("init", program.Bytes())
	b.configure("")
	return b
}

// configure writes the configuration.
func (b *bench) configure(text string) {
	b.kernel.Write("etc/gokexec.conf", "[Initramfs]\nInit="+filepath.Join(b.dir, "init")+"\n"+text)
}

// armedConfig is capture.json of the initramfs that is loaded.
func (b *bench) armedConfig() string {
	b.t.Helper()
	contents, err := initramfs.Read(bytes.NewReader(b.kernel.Crash.Initrd), 1<<30)
	if err != nil {
		b.t.Fatal(err)
	}
	return string(contents.Settings)
}

func TestArm(t *testing.T) {
	b := newArmBench(t)
	before := b.tree()
	b.want(exitOK, "would load the crash kernel by kexec_file_load", "", "arm", "--dry-run")
	if b.kernel.Crash != nil {
		t.Fatal("a dry run has loaded")
	}
	b.want(exitOK, "dumps go to "+armedDisk+":/srv/dumps", "", "arm")
	if got := b.kernel.Crash.Cmdline; !strings.Contains(got, "quiet") || !strings.Contains(got, "nr_cpus=1") {
		t.Errorf("command line %q", got)
	}
	if got := b.armedConfig(); !strings.Contains(got, `"path": "/srv/dumps"`) {
		t.Errorf("the configuration in the initramfs is %s", got)
	}
	if after := b.tree(); after != before {
		t.Errorf("files have changed: before\n%s\nafter\n%s", before, after)
	}
	b.want(exitOK, "elfcorehdr:    accurate", "", "status")

	calls := b.kernel.Calls
	b.want(exitOK, "", "", "reload", "--if-changed")
	b.want(exitOK, "armed already, as configured", "", "arm", "--unless-armed")
	if b.kernel.Calls != calls {
		t.Error("what is armed already was loaded again")
	}
	for _, change := range []struct {
		what string
		do   func()
	}{
		{"the configuration", func() { b.configure("[Capture]\nDumpLevel=17\n") }},
		{"the disk's identity", func() {
			image, err := os.ReadFile(filepath.Join(b.kernel.Dir, "dev/vda"))
			if err != nil {
				t.Fatal(err)
			}
			image[0x468] = 0xee
			b.kernel.Write("dev/vda", string(image))
		}},
		{"the kernel", func() {
			image, err := os.ReadFile(filepath.Join(b.kernel.Dir, "boot/vmlinuz-6.12.1"))
			if err != nil {
				t.Fatal(err)
			}
			b.kernel.Remove("boot/vmlinuz-6.12.1")
			b.kernel.Write("boot/vmlinuz-6.12.1", string(image))
		}},
		{"another load", func() { b.want(exitOK, "", "", "load", "--crash", b.vmlinuz) }},
	} {
		change.do()
		b.want(exitOK, "dumps go to", "", "arm", "--unless-armed")
		b.want(exitOK, "armed already", "", "arm", "--unless-armed")
		if t.Failed() {
			t.Fatalf("after a change of %s", change.what)
		}
	}
	b.want(exitOK, "crash kernel unloaded", "", "disarm")
	b.want(exitNotLoaded, "not loaded", "", "status")
	b.want(exitNotLoaded, "", "no crash kernel is loaded", "disarm")
}

// tree lists the files of the machine outside of what the kernel has, with their sizes: arm keeps no image.
func (b *bench) tree() string {
	var list strings.Builder
	for _, dir := range []string{"boot", "etc", "var", "srv", "usr", "tmp"} {
		_ = filepath.WalkDir(filepath.Join(b.kernel.Dir, dir), func(path string, d os.DirEntry, err error) error {
			if err == nil && !d.IsDir() {
				list.WriteString(path + "\n")
			}
			return nil
		})
	}
	entries, err := os.ReadDir(b.dir)
	if err != nil {
		b.t.Fatal(err)
	}
	for _, e := range entries {
		list.WriteString(e.Name() + "\n")
	}
	return list.String()
}

func TestArmJSON(t *testing.T) {
	b := newArmBench(t)
	b.want(exitOK, "", "", "arm", "--json")
	var r struct {
		Armed   bool `json:"armed"`
		Loaded  bool `json:"loaded"`
		Initrd  struct{ Path string }
		Already bool   `json:"already_armed"`
		Recipe  recipe `json:"armed_for"`
	}
	if err := json.Unmarshal(b.stdout.Bytes(), &r); err != nil || !r.Armed || !r.Loaded || r.Already || r.Recipe.Release != "6.12.1" ||
		len(r.Recipe.Targets) != 1 || len(r.Recipe.Files) != 1 || r.Recipe.Files[0] != "/etc/gokexec.conf" {
		t.Errorf("%v: %s", err, &b.stdout)
	}
	b.want(exitOK, `"already_armed": true`, "", "arm", "--json", "--unless-armed")
}

// What is armed is built again when it is loaded again: for the targets as they are now, by the settings of then.
func TestArmedReload(t *testing.T) {
	for _, command := range []string{"reload", "hotplug"} {
		b := newArmBench(t)
		b.configure("[Capture]\nDumpLevel=17\n[Kernel]\nAppend=one\nMethod=file\n")
		b.want(exitOK, "armed with kernel", "", "arm")
		b.kernel.AddMemory(kexectest.DIMM())
		b.want(exitOK, "", "", command)
		b.want(exitOK, "armed already", "", "arm", "--unless-armed")
		b.configure("[Kernel]\nAppend=two\nMethod=bad\n")
		b.kernel.Remove("var/crash")
		if err := os.Symlink("../srv/other", filepath.Join(b.kernel.Dir, "var/crash")); err != nil {
			t.Fatal(err)
		}
		b.kernel.RemoveMemory(kexectest.DIMM())
		b.want(exitOK, "", "", command)
		b.want(exitOK, "elfcorehdr:    accurate", "", "status")
		if got := b.kernel.Crash.Cmdline; !strings.Contains(got, "one") || strings.Contains(got, "two") {
			t.Errorf("%s: command line %q", command, got)
		}
		if got := b.armedConfig(); !strings.Contains(got, "/srv/other") || !strings.Contains(got, `"dump_level": "17"`) {
			t.Errorf("%s: configuration %s", command, got)
		}
	}
}

// A load that fails after the kernel has freed what was armed: that is built and loaded again.
func TestArmedIsRestored(t *testing.T) {
	b := newArmBench(t)
	b.want(exitOK, "", "", "arm")
	b.kernel.FailLate = []unix.Errno{unix.ENOMEM}
	b.want(exitFailure, "", "was restored", "load", "--crash", b.vmlinuz)
	if b.kernel.Crash == nil || !strings.Contains(b.armedConfig(), "/srv/dumps") {
		t.Fatal("what was armed is gone")
	}
	b.want(exitOK, "elfcorehdr:    accurate", "", "status")
}

// Each fault: one clear line, an exit code, and the machine as it was.
func TestArmFaults(t *testing.T) {
	for _, tt := range []struct {
		name string
		do   func(b *bench)
		line string
		hint string
	}{
		{"no reservation", func(b *bench) {
			b.kernel.Write("proc/iomem", "00001000-0009fbff : System RAM\n00100000-bffdffff : System RAM\n")
		}, "no memory is reserved", "the reservation failed"},
		{"target's filesystem not mounted", func(b *bench) {
			b.kernel.Write("etc/fstab", "UUID=x / ext4 defaults 0 1\nUUID=y /data\\040x ext4 nofail 0 2\n")
			b.kernel.Write("data x/crash/f", "")
			b.configure("[Capture]\nTarget=/data x/crash\n")
		}, "/data x is not mounted", "mount /data x"},
		{"target missing", func(b *bench) { b.configure("[Capture]\nTarget=/data/crash\n") }, "target dir:/data/crash: there is no such directory", "create /data/crash"},
		{"target's device missing", func(b *bench) { b.configure("[Capture]\nTarget=raw:PARTUUID=1\n") }, "PARTUUID=1 is not on this machine", ""},
		{"target in memory", func(b *bench) {
			b.kernel.Write("proc/self/mountinfo", "22 1 254:0 / / rw - ext4 /dev/vda rw\n23 22 0:5 / /srv rw - tmpfs tmpfs rw\n")
		}, "memory (tmpfs)", "name a directory"},
		{"kernel file missing", func(b *bench) { b.kernel.Remove("boot/vmlinuz-6.12.1") }, "the file of the running kernel, 6.12.1, was not found", "Image="},
		{"configured kernel missing", func(b *bench) { b.configure("[Kernel]\nImage=/nowhere\n") }, "kernel ([Kernel] Image=) /nowhere: no such file", "check the path"},
		{"configured kernel a FIFO", func(b *bench) {
			fifo := filepath.Join(b.dir, "fifo")
			if err := unix.Mkfifo(fifo, 0o600); err != nil {
				b.t.Fatal(err)
			}
			b.configure("[Kernel]\nImage=" + fifo + "\n")
		}, "not a regular file", "save it to a file"},
		{"module tree missing", func(b *bench) {
			b.kernel.Write("sys/module/virtio_blk/refcnt", "1")
			for link, to := range map[string]string{"sys/devices/pci0000:00/0000:00:05.0/virtio2/driver": "../../../../bus/virtio/drivers/virtio_blk", "sys/bus/virtio/drivers/virtio_blk/module": "../../../../module/virtio_blk"} {
				link = filepath.Join(b.kernel.Dir, link)
				if err := os.MkdirAll(filepath.Dir(link), 0o755); err != nil {
					b.t.Fatal(err)
				}
				if err := os.Symlink(to, link); err != nil {
					b.t.Fatal(err)
				}
			}
		}, "its driver is a module (virtio_blk)", "6.12.1"},
		{"no room", func(b *bench) { b.kernel.FailLate = []unix.Errno{unix.ENOMEM} }, "was restored", ""},
		{"bad value", func(b *bench) { b.configure("[Capture]\nTarget=/srv\nDumpLevel=99\n") }, "/etc/gokexec.conf:5: [Capture] DumpLevel=99: ", "DumpLevel= is: "},
		{"bad number", func(b *bench) { b.configure("[Kernel]\nCPUs=many\n") }, "/etc/gokexec.conf:4: [Kernel] CPUs=many: ", "CPUs= is: "},
		{"two that exclude each other", func(b *bench) { b.configure("[Kernel]\nCmdline=x\nReuseCmdline=yes\n") }, "/etc/gokexec.conf:5: [Kernel] ReuseCmdline=yes: ", "ReuseCmdline= is: "},
		{"an action without its shell", func(b *bench) { b.configure("[Capture]\nFinalAction=shell\nKeepFree=5%\n") }, "/etc/gokexec.conf:4: [Capture] FinalAction=shell: ", "FinalAction= is: "},
		{"bad syntax", func(b *bench) { b.configure("[Kernel\n") }, "/etc/gokexec.conf:3: ", "Key=VALUE"},
		{"configuration unreadable", func(b *bench) { b.kernel.Remove("etc/gokexec.conf"); b.kernel.Write("etc/gokexec.conf/x", "") }, "/etc/gokexec.conf is no regular file", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := newArmBench(t)
			b.want(exitOK, "armed with", "", "arm")
			armed := bytes.Clone(b.kernel.Crash.Initrd)
			tt.do(b)
			b.want(exitFailure, "", tt.line, "arm")
			lines := strings.Split(strings.TrimSpace(b.stderr.String()), "\n")
			problem := 0
			for _, line := range lines {
				if strings.HasPrefix(line, "gokexec: arm: ") {
					problem++
				}
			}
			if hint, has := strings.CutPrefix(lines[len(lines)-1], "hint: "); problem != 1 || tt.hint != "" && (!has || !strings.Contains(hint, tt.hint)) {
				t.Errorf("stderr %q; want one problem and the hint %q", lines, tt.hint)
			}
			if b.kernel.Crash == nil || !bytes.Equal(b.kernel.Crash.Initrd, armed) {
				t.Error("what was armed is not loaded any more")
			}
		})
	}
}

// Nothing of arm needs to write: neither to the root nor to where the target lies.
func TestArmReadOnly(t *testing.T) {
	b := newArmBench(t)
	b.kernel.Write("proc/self/mountinfo", "22 1 254:0 / / ro - ext4 /dev/vda ro\n")
	b.want(exitOK, "dumps go to", "mounted read-only here", "arm")
}

// A key that is not known has no effect and does no harm.
func TestArmUnknownKey(t *testing.T) {
	b := newArmBench(t)
	b.kernel.Write("srv/x", "")
	b.configure("[Capture]\nTarget=/srv\nDumpLevl=1\nX-Site=y\n[Kernal]\nAppend=x\n[Hotplug]\nAppend=y\n")
	b.want(exitOK, "armed with", "/etc/gokexec.conf:5: DumpLevl= is not known in [Capture], and has no effect", "arm")
	for _, want := range []string{"/etc/gokexec.conf:8: Append= is not known in [Kernal] (there is Append= in [Kernel])", ":10: Append= is not known in [Hotplug] (there is"} {
		if !strings.Contains(b.stderr.String(), want) {
			t.Errorf("stderr %s; want %s", &b.stderr, want)
		}
	}
	if strings.Contains(b.stderr.String(), "X-Site") {
		t.Errorf("stderr %s names a key that is for others", &b.stderr)
	}
}

// status and check say what is armed, and what has changed since.
func TestArmedStatus(t *testing.T) {
	b := newArmBench(t)
	b.want(exitOK, "", "", "load", "--crash", b.vmlinuz)
	b.want(exitOK, "", "", "status")
	if strings.Contains(b.stdout.String(), "armed:") {
		t.Errorf("what gokexec load has loaded is armed: %s", &b.stdout)
	}
	b.want(exitOK, "", "", "arm")
	same := func() {
		t.Helper()
		b.want(exitOK, "armed:         for kernel 6.12.1", "", "status")
		if strings.Contains(b.stdout.String(), "changed since") || !strings.Contains(b.stdout.String(), "configured by /etc/gokexec.conf") {
			t.Errorf("status: %s", &b.stdout)
		}
		b.want(exitOK, "ok       armed: for kernel 6.12.1; dumps go to "+armedDisk+":/srv/dumps", "", "check")
		b.want(exitOK, `"changed_since": []`, "", "status", "--json")
	}
	same()
	b.configure("# only a comment\n")
	same()
	b.want(exitOK, `ok       target: dir:/var/crash is taken as `, "", "check")
	for want, change := range map[string]func(b *bench){
		"the configuration\n": func(b *bench) { b.configure("[Capture]\nDumpLevel=1\n") },
		"the configuration, which is wrong now: /etc/gokexec.conf:4: ": func(b *bench) { b.configure("[Capture]\nDumpLevel=x\n") },
		"the targets: " + armedDisk + ":/srv/other": func(b *bench) {
			b.kernel.Remove("var/crash")
			if err := os.Symlink("../srv/other", filepath.Join(b.kernel.Dir, "var/crash")); err != nil {
				t.Fatal(err)
			}
		},
		"the targets: target dir:/var/crash: /var/crash is on memory": func(b *bench) {
			b.kernel.Write("proc/self/mountinfo", "22 1 254:0 / / rw - ext4 /dev/vda rw\n23 22 0:5 / /srv rw - tmpfs tmpfs rw\n")
		},
		"is gone, and can't be loaded again": func(b *bench) { b.kernel.Remove("boot/vmlinuz-6.12.1") },
		"is another file now":                func(b *bench) { b.kernel.Write("boot/vmlinuz-6.12.1", "other") },
	} {
		b := newArmBench(t)
		b.want(exitOK, "", "", "arm")
		change(b)
		b.want(exitOK, "changed since: ", "", "status")
		if !strings.Contains(b.stdout.String(), want) {
			t.Errorf("status: %s; want %s", &b.stdout, want)
		}
		calls := b.kernel.Calls
		b.run("check")
		if !strings.Contains(b.stdout.String(), "warning  armed: for kernel") || b.kernel.Calls != calls {
			t.Errorf("check: %s", &b.stdout)
		}
	}
	// A dump's size is estimated for the level that is armed.
	b.configure("[Capture]\nDumpLevel=17\n")
	b.want(exitOK, "", "", "arm")
	e := &env{stateDir: filepath.Join(b.kernel.Dir, "run/gokexec")}
	if got := e.loadedConfig(); got.DumpLevel != "17" || len(got.Targets) != 1 {
		t.Errorf("the configuration that is armed is %+v", got)
	}
}

// gokexec hotplug reloads as [Hotplug] says; what is wrong elsewhere does not matter, and its own options count first.
func TestHotplugConfigured(t *testing.T) {
	b := newArmBench(t)
	b.want(exitOK, "", "", "arm")
	ran := filepath.Join(b.dir, "ran")
	b.configure("[Capture]\nDumpLevel=x\n[Hotplug]\nReloadCommand=touch " + ran + "; exit 3\n")
	b.kernel.AddMemory(kexectest.DIMM())
	b.want(exitStale, "", "exit status 3", "hotplug")
	if _, err := os.Stat(ran); err != nil {
		t.Error(err)
	}
	b.want(exitOK, "", "", "hotplug", "--reload-method", "auto")
	b.configure("[Hotplug]\nReloadMethod=x\n")
	b.kernel.RemoveMemory(kexectest.DIMM())
	b.want(exitOK, "", "[Hotplug] has no effect: /etc/gokexec.conf:4: ", "hotplug")
}

// The kernel's file may lie anywhere: image-based systems have no /boot, or a UKI in the EFI system partition.
func TestArmWithoutBoot(t *testing.T) {
	for name, how := range map[string]string{"usr/lib/modules/6.12.1/vmlinuz": "", "efi/EFI/Linux/os.efi": "uki"} {
		b := newArmBench(t)
		image, err := os.ReadFile(filepath.Join(b.kernel.Dir, "boot/vmlinuz-6.12.1"))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.RemoveAll(filepath.Join(b.kernel.Dir, "boot")); err != nil {
			t.Fatal(err)
		}
		if how == "uki" {
			image = imagetest.PE(0x8664, imagetest.Section{Name: ".uname", Data: []byte("6.12.1")}, imagetest.Section{Name: ".cmdline", Data: []byte("another=cmdline")},
				imagetest.Section{Name: ".initrd", Data: []byte("another initrd")}, imagetest.Section{Name: ".linux", Data: image})
		}
		b.kernel.Write(name, string(image))
		b.kernel.Write("usr/lib/modules/6.12.1/modules.dep", "")
		b.kernel.Write("usr/lib/modules/6.12.1/modules.builtin", "kernel/fs/ext4/ext4.ko\n")
		b.want(exitOK, "armed with kernel 6.12.1", "", "arm")
		if cmdline := b.kernel.Crash.Cmdline; strings.Contains(cmdline, "another") || !strings.Contains(b.armedConfig(), "/srv/dumps") {
			t.Errorf("%s: command line %q", name, cmdline)
		}
	}
}
