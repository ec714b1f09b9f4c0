package bootloader

import (
	"encoding/binary"
	"errors"
	"io/fs"
	"strings"
	"testing"
	"testing/fstest"
	"unicode/utf16"

	"github.com/gokexec/gokexec/internal/imagetest"
)

const (
	running = "6.12.48-amd64"
	other   = "6.12.9-amd64"
)

// files is a tree: a name that ends in "@" is a link.
type files map[string]string

func (f files) FS() fs.FS {
	m := fstest.MapFS{}
	for name, data := range f {
		if link, ok := strings.CutSuffix(name, "@"); ok {
			m[link] = &fstest.MapFile{Data: []byte(data), Mode: fs.ModeSymlink | 0o777}
			continue
		}
		m[name] = &fstest.MapFile{Data: []byte(data), Mode: 0o644}
	}
	return m
}

func bzImage(release string) string {
	z := imagetest.SmallBzImage()
	z.Version = release + " (root@localhost) #1 SMP"
	return string(z.Bytes())
}

func uki(release string) string {
	return string(imagetest.PE(0x8664, imagetest.Section{Name: ".uname", Data: []byte(release)}, imagetest.Section{Name: ".linux", Data: []byte(bzImage(release))}))
}

func zImage() string { return string(imagetest.ARMzImage(binary.LittleEndian, make([]byte, 4096))) }

// efiText is the content of a variable of the boot loader in efivarfs.
func efiText(s string) string {
	b := []byte{6, 0, 0, 0}
	for _, u := range append(utf16.Encode([]rune(s)), 0) {
		b = binary.LittleEndian.AppendUint16(b, u)
	}
	return string(b)
}

func loaderVariable(name string) string {
	return "sys/firmware/efi/efivars/" + name + "-" + loaderGUID
}

const espMounts = "22 1 8:2 / / rw - ext4 /dev/sda2 rw\n23 22 8:1 / /esp rw - vfat /dev/sda1 rw\n"

func TestFindKernel(t *testing.T) {
	this := bzImage(running)
	for _, tt := range []struct {
		name  string
		files files
		want  string
		how   string
		uki   bool
	}{
		{"Debian", files{"proc/cmdline": "BOOT_IMAGE=/boot/vmlinuz-" + running + " root=/dev/vda1 ro quiet\n",
			"boot/vmlinuz-" + running: this, "boot/vmlinuz-" + other: bzImage(other), "boot/initrd.img-" + running: "070701"},
			"/boot/vmlinuz-" + running, "BOOT_IMAGE=", false},
		{"a /boot of its own", files{"proc/cmdline": "BOOT_IMAGE=/vmlinuz-" + running + " ro\n", "boot/vmlinuz-" + running: this}, "/boot/vmlinuz-" + running, "BOOT_IMAGE=", false},
		{"Fedora, on a btrfs subvolume", files{"proc/cmdline": "BOOT_IMAGE=(hd0,gpt2)/root/boot/kernels/" + running + " ro\n", "boot/kernels/" + running: this}, "/boot/kernels/" + running, "BOOT_IMAGE=(hd0,gpt2)", false},
		{"ZFS", files{"proc/cmdline": "BOOT_IMAGE=/BOOT/ubuntu_x@/vmlinuz ro\n", "boot/vmlinuz": this}, "/boot/vmlinuz", "BOOT_IMAGE=", false},
		{"ostree", files{"proc/cmdline": "BOOT_IMAGE=(hd0,gpt3)/ostree/fedora-0f/vmlinuz-" + running + " ostree=/ostree/boot.1/fedora/0f/0\n", "boot/ostree/fedora-0f/vmlinuz-" + running: this},
			"/boot/ostree/fedora-0f/vmlinuz-" + running, "BOOT_IMAGE=", false},
		{"ostree, with /boot unmounted", files{"usr/lib/ostree-boot/vmlinuz-" + running + "-0fe1": this}, "/usr/lib/ostree-boot/vmlinuz-" + running + "-0fe1", "image-based", false},
		{"bootc: with the modules", files{"usr/lib/modules/" + running + "/vmlinuz": this, "lib@": "usr/lib"}, "/usr/lib/modules/" + running + "/vmlinuz", "modules", false},
		{"without a merged /usr", files{"lib/modules/" + running + "/vmlinuz": this}, "/lib/modules/" + running + "/vmlinuz", "modules", false},
		{"a vmlinux last", files{"usr/lib/modules/" + running + "/vmlinux": string(imagetest.SmallVmlinux()), "usr/lib/modules/" + running + "/vmlinuz": this}, "/usr/lib/modules/" + running + "/vmlinuz", "modules", false},
		{"the file of BOOT_IMAGE was replaced", files{"proc/cmdline": "BOOT_IMAGE=/boot/vmlinuz ro\n", "boot/vmlinuz@": "vmlinuz-" + other, "boot/vmlinuz-" + other: bzImage(other), "boot/vmlinuz.old@": "vmlinuz-" + running, "boot/vmlinuz-" + running: this},
			"/boot/vmlinuz-" + running, "name of the release", false},
		{"a name that lies", files{"boot/vmlinuz-" + running: bzImage(other), "boot/vmlinuz-linux": this}, "/boot/vmlinuz-linux", "a kernel of the release", false},
		{"Arch, systemd-boot", files{"boot/loader/entries/arch.conf": "title Arch\nlinux   /vmlinuz-linux\ninitrd /initramfs-linux.img\noptions root=x\n", "boot/vmlinuz-linux": this}, "/boot/vmlinuz-linux", "/boot/loader/entries/arch.conf", false},
		{"kernel-install, on /efi", files{"efi/loader/entries/0af-" + running + ".conf": "version " + running + "\nlinux /0af/" + running + "/linux\n", "efi/0af/" + running + "/linux": this,
			"efi/loader/entries/0af-" + other + ".conf": "version " + other + "\nlinux /0af/" + other + "/linux\n", "efi/0af/" + other + "/linux": bzImage(other)},
			"/efi/0af/" + running + "/linux", "0af-" + running + ".conf", false},
		{"kernel-install, without its entry", files{"boot/efi/debian/" + running + "/linux": this}, "/boot/efi/debian/" + running + "/linux", "kernel-install", false},
		{"the entry that was chosen", files{loaderVariable("LoaderEntrySelected"): efiText("arch-lts.conf"), "boot/loader/entries/arch.conf": "linux /a/vmlinuz\n", "boot/loader/entries/arch-lts+2-1.conf": "linux /b/vmlinuz\n",
			"boot/a/vmlinuz": this, "boot/b/vmlinuz": this}, "/boot/b/vmlinuz", "chosen", false},
		{"a UKI that the stub names", files{loaderVariable("StubImageIdentifier"): efiText(`\EFI\LINUX\DEBIAN-1.EFI`), "efi/EFI/Linux/debian-0.efi": uki(running), "efi/EFI/Linux/debian-1.efi": uki(running)}, "/efi/EFI/Linux/debian-1.efi", "StubImageIdentifier", true},
		{"a UKI that the firmware started", files{loaderVariable("LoaderImageIdentifier"): efiText(`\EFI\azure\image.efi`), "boot/efi/EFI/azure/image.efi": uki(running)}, "/boot/efi/EFI/azure/image.efi", "LoaderImageIdentifier", true},
		{"a boot loader is no kernel", files{loaderVariable("LoaderImageIdentifier"): efiText(`\EFI\systemd\systemd-bootx64.efi`), "efi/EFI/systemd/systemd-bootx64.efi": string(imagetest.PE(0x8664, imagetest.Section{Name: ".text"})), "efi/EFI/Linux/a.efi": uki(running)}, "/efi/EFI/Linux/a.efi", "unified", true},
		{"an ESP known by its identity", files{loaderVariable("StubImageIdentifier"): efiText(`\EFI\Linux\a.efi`), loaderVariable("StubDevicePartUUID"): efiText("0F3A-AB"),
			"dev/disk/by-partuuid/0f3a-ab@": "../../sda1", "dev/sda1": "", "proc/self/mountinfo": strings.ReplaceAll(espMounts, "vfat", "fuseblk"), "esp/EFI/Linux/a.efi": uki(running), "efi/EFI/Linux/a.efi": uki(running)}, "/esp/EFI/Linux/a.efi", "Stub", true},
		{"any FAT", files{"proc/self/mountinfo": espMounts, "esp/efi/linux/a.EFI": uki(running)}, "/esp/efi/linux/a.EFI", "unified", true},
		{"RHEL's UKI", files{"lib@": "usr/lib", "usr/lib/modules/" + running + "/vmlinuz-virt.efi": uki(running)}, "/usr/lib/modules/" + running + "/vmlinuz-virt.efi", "modules", true},
		{"Raspberry Pi", files{"boot/firmware/kernel8.img": string(imagetest.Compress(t, "gzip", imagetest.SmallARM64(func(a *imagetest.ARM64) { a.Body = imagetest.Banner(running) }))),
			"boot/firmware/kernel_2712.img": string(imagetest.SmallARM64(func(a *imagetest.ARM64) { a.Body = imagetest.Banner(other) }))}, "/boot/firmware/kernel8.img", "a kernel of the release", false},
		{"zipl", files{"proc/cmdline": "root=x BOOT_IMAGE=0\n", "boot/image-" + running: this}, "/boot/image-" + running, "name of the release", false},
		{"ARM zImage by its name", files{"boot/vmlinuz-" + running: zImage()}, "/boot/vmlinuz-" + running, "name of the release", false},
		{"Gentoo", files{"boot/kernel-genkernel-x86_64-" + running: this}, "/boot/kernel-genkernel-x86_64-" + running, "name of the release", false},
		{"NixOS", files{"run/booted-system/kernel@": "/nix/store/x/bzImage", "nix/store/x/bzImage": this}, "/run/booted-system/kernel", "booted system", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := FindKernel(tt.files.FS(), running)
			if err != nil || got.Path != tt.want || !strings.Contains(got.How, tt.how) || got.UKI != tt.uki {
				t.Errorf("FindKernel = %+v, %v; want %s by %q, UKI %v", got, err, tt.want, tt.how, tt.uki)
			}
		})
	}
}

func TestFindKernelRefuses(t *testing.T) {
	for _, tt := range []struct {
		name  string
		files files
		want  string
	}{
		{"nothing", files{"boot/grub/grub.cfg": ""}, "was not found"},
		{"another", files{"boot/vmlinuz-" + other: bzImage(other), "boot/vmlinuz-" + running: bzImage(other)}, "/boot/vmlinuz-" + running + " is " + other},
		{"does not tell", files{"boot/zImage": zImage()}, "/boot/zImage does not tell its release"},
		{"cut off", files{"boot/vmlinuz-" + running: bzImage(running)[:1000]}, "/boot/vmlinuz-" + running + ": "},
		{"a longer release", files{"boot/vmlinuz-" + running + ".1": zImage(), "boot/vmlinuz-x" + running: zImage()}, running + ".1 does not tell"},
		{"a link that leads nowhere", files{"boot/vmlinuz-" + running + "@": "gone"}, "was not found"},
		{"a directory", files{"boot/vmlinuz-" + running + "/x": ""}, "was not found"},
	} {
		got, err := FindKernel(tt.files.FS(), running)
		if !errors.Is(err, ErrNoKernel) || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: FindKernel = %+v, %v; want an error with %q", tt.name, got, err, tt.want)
		}
	}
	for _, release := range []string{"", "../x"} {
		if _, err := FindKernel(files{}.FS(), release); !errors.Is(err, ErrNoKernel) {
			t.Errorf("FindKernel of %q: %v; want ErrNoKernel", release, err)
		}
	}
}

func ukiCmdline(cmdline string) []byte {
	return imagetest.PE(0x8664, imagetest.Section{Name: ".uname", Data: []byte(running)}, imagetest.Section{Name: ".cmdline", Data: []byte(cmdline)}, imagetest.Section{Name: ".linux", Data: []byte(bzImage(running))})
}
