package main

import (
	"debug/elf"
	"encoding/binary"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gokexec/gokexec/internal/imagetest"
	"github.com/gokexec/gokexec/pkg/capture"
	"github.com/gokexec/gokexec/pkg/kmod"
)

const guardRelease = "6.12.9-x"

// guardBench is a machine that builds its own capture initramfs: an NVMe disk, whose driver is a
// module.
func guardBench(t *testing.T) *bench {
	b := newBench(t)
	const disk = "devices/pci0000:00/0000:00:02.0/"
	b.kernel.Write("sys/"+disk+"modalias", "pci:v00008086d0000F1A5sv\n")
	b.kernel.Write("sys/bus/pci/drivers/nvme/x", "")
	b.kernel.Write("sys/module/nvme/refcnt", "1\n")
	b.link("../../../../module/nvme", "sys/bus/pci/drivers/nvme/module")
	b.link("../../../bus/pci/drivers/nvme", "sys/"+disk+"driver")
	b.kernel.Write("sys/"+disk+"nvme/nvme0/nvme0n1/dev", "259:0\n")
	b.kernel.Write("sys/"+disk+"nvme/nvme0/nvme0n1/size", "4096\n")
	b.kernel.Write("sys/"+disk+"nvme/nvme0/nvme0n1/wwid", "eui.0025385b71b0a1c7\n")
	b.kernel.Write("dev/nvme0n1", string(make([]byte, 2<<20)))
	b.kernel.Write("proc/self/mountinfo", "")
	b.link("../../"+disk+"nvme/nvme0/nvme0n1", "sys/dev/block/259:0")
	b.link("../../"+disk+"nvme/nvme0/nvme0n1", "sys/class/block/nvme0n1")
	return b
}

// modules writes a tree of modules below dir.
func (b *bench) modules(dir string, names ...string) {
	var dep strings.Builder
	for _, name := range names {
		b.kernel.Write(dir+"/kernel/"+name+".ko", string(imagetest.Module(elf.EM_X86_64, "name="+name, "vermagic="+guardRelease+" SMP ", "depends=")))
		dep.WriteString("kernel/" + name + ".ko:\n")
	}
	b.kernel.Write(dir+"/modules.dep", dep.String())
	b.kernel.Write(dir+"/modules.builtin", "kernel/builtin_wdt.ko\n")
	b.kernel.Write(dir+"/modules.alias", "alias virtio:d00000018v* virtio_mem\n")
}

// initramfs builds one and returns its modules in load order and its settings.
func (b *bench) initramfs(code int, stderr string, more ...string) (string, capture.Config) {
	b.t.Helper()
	program := b.file("gokexec", imagetest.GoodELF(elf.EM_X86_64, binary.LittleEndian).Bytes())
	out := filepath.Join(b.dir, "out.img")
	argv := append([]string{"initramfs", "-o", out, "-k", guardRelease, "--init", program, "--compression", "none", "raw:/dev/nvme0n1"}, more...)
	b.want(code, "", stderr, argv...)
	var settings capture.Config
	if code != exitOK {
		return "", settings
	}
	if stderr == "" && strings.Contains(b.stderr.String(), "warning: ") {
		b.t.Errorf("stderr %q; want none", &b.stderr)
	}
	archive, err := os.ReadFile(out)
	if err != nil {
		b.t.Fatal(err)
	}
	list := ""
	if i := strings.Index(string(archive), "gokexec-modules 1 "); i >= 0 {
		text, _, _ := strings.Cut(string(archive[i:]), "\x00")
		entries, err := kmod.ParseList([]byte(text))
		if err != nil {
			b.t.Fatal(err)
		}
		for _, e := range entries.Entries {
			list += " " + e.Name
		}
	}
	i := strings.Index(string(archive), "{\n")
	if err := json.NewDecoder(strings.NewReader(string(archive[i:]))).Decode(&settings); err != nil {
		b.t.Fatal(err)
	}
	return strings.TrimSpace(list), settings
}

func (b *bench) watchdog(name, identity, driver string) {
	dir := "sys/class/watchdog/" + name
	b.kernel.Write(dir+"/state", "active\n")
	b.kernel.Write(dir+"/identity", identity+"\n")
	b.kernel.Write(dir+"/timeout", "30\n")
	if driver != "" {
		b.kernel.Write("sys/devices/platform/"+name+"-dev/modalias", "platform:"+driver+"\n")
		b.kernel.Write("sys/module/"+driver+"/refcnt", "1\n")
		b.kernel.Write("sys/bus/platform/drivers/"+driver+"/x", "")
		b.link("../../../../module/"+driver, "sys/bus/platform/drivers/"+driver+"/module")
		b.link("../../../bus/platform/drivers/"+driver, "sys/devices/platform/"+name+"-dev/driver")
		b.link("../../../devices/platform/"+name+"-dev", dir+"/device")
	}
}

// The drivers of all watchdogs that run come first, and the capture feeds them, without being asked.
func TestInitramfsWatchdog(t *testing.T) {
	tests := []struct {
		name    string
		prepare func(*bench)
		args    []string
		stderr  string
		modules string
		feeds   bool
	}{
		{"none runs", func(*bench) {}, nil, "", "nvme", false},
		{"two run", func(b *bench) {
			b.watchdog("watchdog0", "iTCO_wdt", "iTCO_wdt")
			b.watchdog("watchdog1", "x", "wdat_wdt")
		}, nil, "", "iTCO_wdt wdat_wdt nvme", true},
		{"not wanted", func(b *bench) { b.watchdog("watchdog0", "iTCO_wdt", "iTCO_wdt") }, []string{"--watchdog=no"}, "", "nvme", false},
		{"asked for", func(b *bench) { b.watchdog("watchdog0", "iTCO_wdt", "iTCO_wdt") }, []string{"--watchdog"}, "", "iTCO_wdt nvme", true},
		{"asked for, none runs", func(*bench) {}, []string{"--watchdog=yes"}, "no hardware watchdog runs", "nvme", true},
		{"built in", func(b *bench) { b.watchdog("watchdog0", "builtin_wdt", "") }, nil, "", "nvme", true},
		{"no module", func(b *bench) { b.watchdog("watchdog0", "odd", "odd_wdt") }, nil,
			"watchdog0 (odd) runs, but kernel " + guardRelease + " has no module odd_wdt: unless that is built in, it resets the machine 30 s after the panic", "nvme", true},
		{"unknown driver", func(b *bench) { b.watchdog("watchdog0", "odd", "") }, nil, "its driver is not known", "nvme", true},
		{"softdog", func(b *bench) { b.watchdog("watchdog0", "Software Watchdog", "") }, nil, "", "nvme", false},
		{"softdog, asked for", func(b *bench) { b.watchdog("watchdog0", "Software Watchdog", "") }, []string{"--watchdog"}, "softdog", "nvme", true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b := guardBench(t)
			b.modules("lib/modules/"+guardRelease, "iTCO_wdt", "nvme", "wdat_wdt", "softdog")
			tt.prepare(b)
			modules, settings := b.initramfs(exitOK, tt.stderr, tt.args...)
			if modules != tt.modules || settings.Watchdog != tt.feeds {
				t.Errorf("modules %q, watchdog %v; want %q, %v", modules, settings.Watchdog, tt.modules, tt.feeds)
			}
		})
	}
	b := guardBench(t)
	b.want(exitUsage, "", `--watchdog: "maybe" is none of auto, yes and no`, "initramfs", "-o", "x", "--watchdog=maybe", "raw:/dev/nvme0n1")
}

// virtio_mem comes before the disk's driver, where the machine has such memory.
func TestInitramfsVirtioMem(t *testing.T) {
	b := guardBench(t)
	b.modules("lib/modules/"+guardRelease, "nvme", "virtio_mem", "virtio_pci")
	b.kernel.Write("sys/devices/pci0000:00/0000:00:09.0/virtio1/modalias", "virtio:d00000018v00001AF4\n")
	b.kernel.Write("sys/module/virtio_pci/refcnt", "1\n")
	b.link("../../../../module/virtio_pci", "sys/bus/pci/drivers/virtio-pci/module")
	b.link("../../../bus/pci/drivers/virtio-pci", "sys/devices/pci0000:00/0000:00:09.0/driver")
	b.link("../../../devices/pci0000:00/0000:00:09.0/virtio1", "sys/bus/virtio/devices/virtio1")
	if modules, _ := b.initramfs(exitOK, ""); modules != "virtio_pci virtio_mem nvme" {
		t.Errorf("modules %q; want virtio_pci virtio_mem nvme", modules)
	}
	b.kernel.Remove("sys/bus/virtio/devices/virtio1")
	if modules, _ := b.initramfs(exitOK, ""); modules != "nvme" {
		t.Errorf("modules %q; want nvme", modules)
	}
}

// Modules are found where NixOS has them. A disk whose driver is a module and can't be found is a
// failure.
func TestInitramfsModuleTrees(t *testing.T) {
	b := guardBench(t)
	b.initramfs(exitFailure, "target nvme0n1: its driver is a module (nvme), and kernel "+guardRelease+": no modules of this kernel version")
	b.modules("nix/store/x-linux-modules/lib/modules/"+guardRelease, "nvme")
	b.link("../../nix/store/x-linux-modules", "run/booted-system/kernel-modules")
	if modules, _ := b.initramfs(exitOK, ""); modules != "nvme" {
		t.Errorf("modules %q; want nvme", modules)
	}
	b = guardBench(t)
	b.modules("lib/modules/"+guardRelease, "other")
	b.initramfs(exitFailure, `module "nvme": no such module`)
	b.kernel.Remove("sys/bus/pci/drivers/nvme/module") // built in
	b.kernel.Remove("lib/modules/" + guardRelease)
	b.initramfs(exitOK, "the drivers must be built in")
}
