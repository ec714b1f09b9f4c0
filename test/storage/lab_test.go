package storage

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gokexec/gokexec/internal/vmlab"
)

// tools are Debian's packages that make the layouts, and judge them.
func tools() []string {
	return []string{"dmsetup", "lvm2", "thin-provisioning-tools", "mdadm", "cryptsetup-bin", "btrfs-progs", "xfsprogs", "e2fsprogs", "fdisk", "kpartx"}
}

// modules are those of the kernel that any layout needs.
func modules(k *vmlab.Kernel) []string {
	if k.ELF != "" { // built for a test, with what that needs in it
		return []string{"nvme", "ext4", "dm_mod", "dm_crypt"}
	}
	// Of what modules ask for by other names, each kernel has its own.
	var names []string
	for _, name := range []string{"crc32c_generic", "crc32c_cryptoapi", "aes_generic", "aes_ti", "ecb", "sha256_generic"} {
		if has(k, name) {
			names = append(names, name)
		}
	}
	if has(k, "scsi_dh_alua") {
		names = append(names, "tcm_loop", "target_core_iblock", "scsi_dh_alua")
	}
	return append(names,
		"nvme", "virtio_blk", "virtio_scsi", "sd_mod", "ext4", "xfs", "btrfs",
		"dm_mod", "dm_snapshot", "dm_thin_pool", "dm_raid", "dm_mirror", "dm_crypt", "dm_integrity", "dm_multipath", "dm_service_time",
		"md_mod", "raid0", "raid1", "raid10", "raid456", "xts", "aesni_intel")
}

func has(k *vmlab.Kernel, module string) bool {
	_, err := k.ModuleFiles(module)
	return err == nil
}

// Disks of the laboratory. Each layout has partitions of its own on those of the first kind, or others whole.
const partitioned = 4

// labDisk is a disk of the laboratory. It has the same bus and serial in every boot; its place changes.
type labDisk struct {
	file, bus, serial, drive, device string
	layout                           *layout // whose it is; nil if it has partitions of many
}

func (d *labDisk) disk() vmlab.Disk {
	return vmlab.Disk{Source: d.file, Bus: d.bus, Serial: d.serial, Drive: d.drive, Device: d.device}
}

// storageLab is a machine with disks over its boots.
type storageLab struct {
	t       *testing.T
	kernel  *vmlab.Kernel
	tools   *vmlab.Tools
	disks   []labDisk
	layouts []*layout
	grown   map[string]int // blocks that the writer knew to be on a disk, by directory
}

// newStorageLab makes the disks for the layouts.
func newStorageLab(t *testing.T, k *vmlab.Kernel, layouts []*layout) *storageLab {
	t.Helper()
	layouts = slices.DeleteFunc(layouts, func(l *layout) bool { return l.array && !has(k, "scsi_dh_alua") })
	lab := &storageLab{t: t, kernel: k, tools: vmlab.TestTools(t, "trixie", tools()...), layouts: layouts, grown: map[string]int{}}
	dir := t.TempDir()
	add := func(serial, bus string, size int64, l *layout) *labDisk {
		file := filepath.Join(dir, serial+".img")
		err := os.WriteFile(file, nil, 0o600)
		if err == nil {
			err = os.Truncate(file, size<<20)
		}
		if err != nil {
			t.Fatal(err)
		}
		lab.disks = append(lab.disks, labDisk{file: file, bus: bus, serial: serial, layout: l})
		return &lab.disks[len(lab.disks)-1]
	}
	sizes := [partitioned]int64{}
	for i, l := range layouts {
		for k, size := range l.parts {
			sizes[(i+k)%partitioned] += int64(size) + 1
		}
	}
	for i, bus := range [partitioned]string{"nvme", "nvme", "virtio", "scsi"} {
		if k.ELF != "" && sizes[i] == 0 {
			continue // it has no driver for each bus
		}
		add("parts"+strconv.Itoa(i), bus, sizes[i]+8, nil)
	}
	for i, l := range layouts {
		for k, bus := range l.whole {
			add(l.member(k), bus, wholeSize, l)
		}
		if l.array {
			add(l.member(0), "virtio", wholeSize, l)
			continue
		}
		if l.paths > 0 {
			// One disk, by several paths: what they have in common is all but their place.
			first := *add(l.name, "scsi", wholeSize, l)
			lab.disks = lab.disks[:len(lab.disks)-1]
			first.drive, first.device = "file.locking=off", fmt.Sprintf("share-rw=on,wwn=%#x", 0x5000c50015ea7100+i)
			for range l.paths {
				lab.disks = append(lab.disks, first)
			}
		}
	}
	return lab
}

const wholeSize = 80 // MiB, of a disk that is one layout's

// member is the name of a layout's device with an index, before or after a whole disk's serial is the same.
func (l *layout) member(k int) string { return l.name + "." + strconv.Itoa(k+1) }

// booting says how the machine is started.
type booting struct {
	tools       bool   // they are the guest's root; else it has the agent, the program that compares files, and the modules, which are loaded
	swapped     bool   // the disks come in another order
	crashKernel string // value of crashkernel=
	maxMemory   int    // MiB; DIMMs can be added
	files       []vmlab.File
	disk        func(labDisk) *labDisk // what is in the place of a disk; nil for nothing
}

// boot starts the machine.
func (lab *storageLab) boot(how booting) *guest {
	lab.t.Helper()
	loaded := modules(lab.kernel)
	cfg := vmlab.Config{Kernel: lab.kernel, Memory: 768, MaxMemory: how.maxMemory, CrashKernel: how.crashKernel, Files: append(slices.Clone(how.files),
		vmlab.Executable("/bin/guest", vmlab.BuildTest(lab.t, "./test/storage/guest", lab.kernel.Arch)))}
	if how.tools {
		tree, err := lab.kernel.ModuleTree(loaded...)
		if err != nil {
			lab.t.Fatal(err)
		}
		cfg.Files = append(append(cfg.Files, tree...),
			vmlab.File{Path: "/etc/lvm/lvmlocal.conf", Data: []byte(lvmConfig)},
			vmlab.File{Path: "/lab/prelude", Data: []byte(prelude)})
		cfg.Disks = []vmlab.Disk{lab.tools.Disk()}
		cfg.Root, cfg.Bare, cfg.Modules = vmlab.ToolsRoot, true, loaded[:slices.Index(loaded, "ext4")+1] // programs load the rest
		if how.maxMemory > 0 {
			cfg.Cmdline = "memhp_default_state=online"
		}
	} else {
		cfg.Modules = loaded
	}
	disks := slices.Clone(lab.disks)
	if how.disk != nil {
		disks = nil
		for _, d := range lab.disks {
			if d := how.disk(d); d != nil {
				disks = append(disks, *d)
			}
		}
	}
	if how.swapped {
		// Backwards, and with the last but one first, so that no disk keeps its name.
		slices.Reverse(disks)
		one := len(disks) - 2
		disks = slices.Concat(disks[one:one+1], disks[:one], disks[one+1:])
	}
	for i := range disks {
		cfg.Disks = append(cfg.Disks, disks[i].disk())
	}
	g := &guest{vmlab.Boot(lab.t, cfg), lab}
	lab.t.Logf("%s: up after %v", lab.kernel.Name, g.VM.Booted.Round(time.Millisecond))
	for _, l := range lab.layouts {
		if l.array {
			g.Must("guest", "alua", l.member(0), l.name)
		}
	}
	if how.tools {
		if out, err := g.sh("", nodes); err != nil {
			lab.t.Fatalf("find the disks: %v\n%s", err, out)
		}
	}
	return g
}

// lvmConfig keeps LVM from waiting for a udev.
const lvmConfig = `
devices { use_devicesfile=0 obtain_device_list_from_udev=0 external_device_info_source="none" multipath_component_detection=0 }
activation { udev_sync=0 udev_rules=0 verify_udev_operations=0 monitoring=0 }
global { event_activation=0 use_lvmpolld=0 }
backup { backup=0 archive=0 }
`

// prelude is what all scripts begin with. Their first argument is the layout's name, the rest are the names of its
// devices, which become their nodes.
const prelude = `
set -eu
export DM_DISABLE_UDEV=1 MDADM_NO_UDEV=1 LVM_SUPPRESS_FD_WARNINGS=1 LC_ALL=C
name=$1; shift
for member; do
	set -- "$@" "$(readlink "/lab/dev/$member")"
	shift
done
top=/mnt/$name
ext() { # makes an ext4 and mounts it
	mke2fs -q -F -t ext4 -E lazy_itable_init=1 "$1"
	mkdir -p "${2:-$top}"
	mount "$1" "${2:-$top}"
}
pvs=$(IFS=,; echo "$*")
lvm() { # on the layout's devices only
	command=$1; shift
	/sbin/lvm "$command" --devices "$pvs" "$@"
}
synced() { # makes an array writable and waits until it has nothing to resync; sets md
	md=$(readlink -f "/dev/md/$name"); md=${md##*/}
	if [ "$(cat "/sys/block/$md/md/array_state")" = read-auto ]; then mdadm --quiet --readwrite "/dev/$md"; fi
	until [ "$(cat "/sys/block/$md/md/resync_start")" = none ]; do sleep 0.1; done
	idle
}
idle() {
	until [ "$(cat "/sys/block/$md/md/sync_action")" = idle ]; do sleep 0.1; done
}
`

// nodes finds the layouts' devices: partitions by their names, disks by their serials.
const nodes = `
mkdir -p /lab/dev /run/mdadm /run/lvm /run/lock/lvm /run/cryptsetup /dev/md
for dir in /sys/class/block/*; do
	device=/dev/${dir##*/} name=
	while IFS== read -r key value; do
		if [ "$key" = PARTNAME ]; then name=$value; fi
	done <"$dir/uevent"
	for file in "$dir/serial" "$dir/device/serial" "$dir/device/vpd_pg80"; do
		if [ -z "$name" ] && [ -e "$file" ] && [ ! -e "$dir/partition" ]; then
			name=$(tr -d '\000' <"$file" | tr -cd 'a-z0-9.-')
		fi
	done
	if [ -n "$name" ]; then
		while [ -e "/lab/dev/$name" ]; do name=$name+; done # another path
		ln -s "$device" "/lab/dev/$name"
	fi
done
ls -l /lab/dev
`

// partition makes the partitions of all layouts.
func (g *guest) partition() {
	g.T.Helper()
	tables := [partitioned]strings.Builder{}
	for i, l := range g.lab.layouts {
		for k, size := range l.parts {
			fmt.Fprintf(&tables[(i+k)%partitioned], "size=%dMiB, name=\"%s\"\n", size, l.member(k))
		}
	}
	for i := range tables {
		if tables[i].Len() == 0 {
			continue
		}
		if out, err := g.sh("", fmt.Sprintf("sfdisk -q /lab/dev/parts%d <<TABLE\nlabel: gpt\n%sTABLE\n", i, tables[i].String())); err != nil {
			g.T.Fatalf("partition a disk: %v\n%s", err, out)
		}
	}
	out, err := g.sh("", "rm -rf /lab/dev\n"+nodes)
	if err != nil {
		g.T.Fatalf("find the partitions: %v\n%s", err, out)
	}
	g.T.Log(out)
}

// guest is one boot.
type guest struct {
	*vmlab.Guest
	lab *storageLab
}

// sh runs a script with a layout's name and devices, and returns what it printed on either stream.
func (g *guest) sh(name, script string, devices ...string) (string, error) {
	r, err := g.VM.Run(g.T.Context(), vmlab.Command{Argv: append([]string{"/bin/sh", "-c", ". /lab/prelude\n" + script, "sh", name}, devices...)})
	if err == nil && r.Code != 0 {
		said := strings.TrimSpace(r.Stderr)
		err = fmt.Errorf("exit code %d: %s", r.Code, said[max(0, len(said)-2000):])
	}
	return r.Stdout + r.Stderr, err
}

// on runs a script for a layout, with its devices as arguments.
func (g *guest) on(l *layout, script string) (string, error) {
	var devices []string
	for k := range max(len(l.parts), len(l.whole)) {
		devices = append(devices, l.member(k))
	}
	for k := range l.paths {
		devices = append(devices, l.name+strings.Repeat("+", k))
	}
	out, err := g.sh(l.name, script, devices...)
	if err != nil {
		err = fmt.Errorf("%s: %w", l.name, err)
	}
	return out, err
}

// program runs the program that compares files.
func (g *guest) program(args ...string) error {
	r, err := g.VM.Run(g.T.Context(), vmlab.Command{Argv: append([]string{"guest"}, args...)})
	if err == nil && r.Code != 0 {
		err = fmt.Errorf("%s: %s", strings.Join(args, " "), strings.TrimSpace(r.Stderr))
	}
	return err
}

// progress is what a running program has printed so far.
type progress struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (p *progress) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.text.Write(b)
}

// grown is how many blocks of each directory are on the disk.
func (p *progress) grown() map[string]int {
	p.mu.Lock()
	defer p.mu.Unlock()
	grown := map[string]int{}
	for line := range strings.Lines(p.text.String()) {
		dir, count, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
		if n, err := strconv.Atoi(count); err == nil && strings.HasSuffix(line, "\n") {
			grown[dir] = n
		}
	}
	return grown
}
