package main

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gokexec/gokexec/internal/imagetest"
	"github.com/gokexec/gokexec/pkg/stack"
)

// withDisk gives the machine a virtio disk with an ext4 that is mounted at /, and
// a logical volume.
func (b *bench) withDisk() {
	image := make([]byte, 2<<20)
	copy(image[0x438:], "\x53\xef")
	image[0x45c], image[0x460], image[0x4e0] = 4, 0x40, 8
	for i := range 16 {
		image[0x468+i] = byte(i) * 0x11
	}
	for name, content := range map[string]string{
		"dev/vda": string(image), "dev/dm-0": string(make([]byte, 1<<20)),
		"sys/devices/pci0000:00/0000:00:05.0/virtio2/block/vda/size": "4096\n", "sys/devices/pci0000:00/0000:00:05.0/virtio2/block/vda/dev": "254:0\n",
		"sys/devices/virtual/block/dm-0/dm/uuid": "LVM-x\n", "sys/devices/virtual/block/dm-0/dm/name": "vg-root\n", "sys/devices/virtual/block/dm-0/size": "2048\n",
		"proc/self/mountinfo": "22 1 254:0 / / rw - ext4 /dev/vda rw\n",
	} {
		b.kernel.Write(name, content)
	}
	for name, target := range map[string]string{
		"sys/class/block/vda": "../../devices/pci0000:00/0000:00:05.0/virtio2/block/vda", "sys/dev/block/254:0": "../../devices/pci0000:00/0000:00:05.0/virtio2/block/vda",
		"sys/class/block/dm-0": "../../devices/virtual/block/dm-0", "dev/mapper/vg-root": "../dm-0", "var/crash": "../srv/dumps",
	} {
		path := filepath.Join(b.kernel.Dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			b.t.Fatal(err)
		}
		if err := os.Symlink(target, path); err != nil {
			b.t.Fatal(err)
		}
	}
}

// What a volume lies on is in what arm loads, and a change of it is seen.
func TestArmVolume(t *testing.T) {
	b := newArmBench(t)
	b.volume = stack.Row{Length: 2048, Type: "linear", Args: "254:0 2048"}
	b.configure("[Capture]\nTarget=raw:/dev/dm-0\n")
	b.want(exitOK, "dumps go to raw:/dev/mapper/vg-root", "", "arm")
	if cfg := b.armedConfig(); !strings.Contains(cfg, `"args": "@0 2048"`) || !strings.Contains(cfg, `"ref": "UUID=00112233-4455-6677-8899-aabbccddeeff"`) {
		t.Errorf("the configuration is %s", cfg)
	}
	b.want(exitOK, "ok       armed", "", "check")
	calls := b.kernel.Calls
	if b.want(exitOK, "", "", "reload", "--if-changed"); b.kernel.Calls != calls {
		t.Error("nothing was changed, and the crash kernel was loaded again")
	}
	b.volume.Args = "254:0 4096"
	b.want(exitOK, "the volumes, arrays or disks that the targets lie on", "", "check")
	b.want(exitOK, "crash kernel reloaded", "", "reload", "--if-changed", "--reload-method", "file")
	if cfg := b.armedConfig(); !strings.Contains(cfg, `"args": "@0 4096"`) {
		t.Errorf("after the reload the configuration is %s", cfg)
	}
	b.volume.Args = "254:0 2048"
	b.kernel.Write("usr/lib/modules/6.12.1/modules.dep", "kernel/drivers/md/raid1.ko:\n")
	b.kernel.Write("usr/lib/modules/6.12.1/modules.builtin", "kernel/fs/ext4/ext4.ko\n")
	b.want(exitFailure, "", "what makes its devices", "arm")
}

// What is named here is in the initramfs as the capture kernel finds it.
func TestInitramfsTargets(t *testing.T) {
	b := newBench(t)
	b.withDisk()
	program := imagetest.GoodELF(elf.EM_X86_64, binary.LittleEndian)
	init, out := b.file("gokexec", program.Bytes()), filepath.Join(b.dir, "out")
	build := func(more ...string) []string {
		return append([]string{"initramfs", "-o", out, "--sysroot", b.dir, "-k", "9.9", "--init", init, "--compression", "none"}, more...)
	}
	const uuid = "UUID=00112233-4455-6677-8899-aabbccddeeff"
	b.want(exitOK, "out: ", "/var/crash is taken as fs:"+uuid+":/srv/dumps (ext4)", build("/var/crash")...)
	image, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`"type": "filesystem"`, `"device": "` + uuid + `"`, `"path": "/srv/dumps"`} {
		if !bytes.Contains(image, []byte(want)) {
			t.Errorf("the configuration lacks %s", want)
		}
	}
	b.want(exitFailure, "", "vg-root (/dev/dm-0) can't be there", build("raw:/dev/mapper/vg-root")...)
	b.want(exitFailure, "", "is mounted on /", build("raw:/dev/vda", "--overwrite")...)
	b.want(exitFailure, "", "--other-machine if the target is not", build("fs:UUID=ffff")...)
	b.want(exitUsage, "", "must begin with a slash", build("fs:UUID=ffff:var/crash")...)
	b.want(exitOK, "", "warning: target fs:UUID=ffff:/x is on another machine", build("--other-machine", "fs:UUID=ffff:/x")...)
	b.want(exitFailure, "", "an md RAID", build("--other-machine", "raw:/dev/md0")...)
	b.want(exitOK, "", "", build("fs:"+uuid+":/x", "--mount-options", "subvol=@crash")...)
	if image, err := os.ReadFile(out); err != nil || !bytes.Contains(image, []byte(`"mount_options": "subvol=@crash"`)) {
		t.Errorf("the configuration lacks the mount options, %v", err)
	}

	b.want(exitOK, "ok       target: dir:/var/crash is taken as fs:"+uuid, "", "check", "--target", "/var/crash")
	b.want(exitFailure, "failure  target: target raw:/dev/dm-0: vg-root (/dev/dm-0) can't be there", "", "check", "--target", "raw:/dev/dm-0")
	b.want(exitUsage, "", "--target", "check", "--target", "bogus")

	b.want(exitOK, "unknown  target: target raw:/dev/vda: not checked", "", "check", "--sysroot", b.kernel.Dir, "--target", "raw:/dev/vda")

	// The targets of an initramfs that was made before.
	b.want(exitOK, "", "", build("/var/crash")...)
	b.want(exitOK, "ok       target: fs:"+uuid+":/srv/dumps can be there", "", "check", b.vmlinuz, "--initrd", out)
	b.want(exitOK, "", "", build("--other-machine", "fs:UUID=ffff:/x")...)
	b.want(exitFailure, "failure  target: target fs:UUID=ffff:/x: UUID=ffff is not on this machine", "", "check", b.vmlinuz, "--initrd", out)
	b.want(exitUsage, "", "--target", "check", "--target", "bogus")
	if !strings.Contains(b.stderr.String(), "bogus") {
		t.Errorf("stderr: %s", &b.stderr)
	}
}
