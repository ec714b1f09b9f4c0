package storage

import (
	"fmt"
	"os"
	"path"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gokexec/gokexec/internal/disktest"
)

// bench is a machine in a directory.
type bench struct {
	*Machine
	t     *testing.T
	dir   string
	minor int
	maps  *fakeMaps
}

const rootUUID = disktest.UUID

// newBench is a machine with an ext4 on sda1, mounted at /.
func newBench(t *testing.T) *bench {
	t.Helper()
	b := &bench{t: t, dir: t.TempDir(), maps: &fakeMaps{}}
	b.Machine = New(Options{Root: b.dir, Maps: func() (Maps, error) { b.maps.opened++; return b.maps, nil }})
	b.disk("pci0000:00/0000:00:02.0/host0/target0:0:0/0:0:0:0/block/sda", gpt)
	b.partition("sda", 1, disktest.Ext4(rootUUID, "root"))
	b.file("proc/swaps", "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n")
	b.mount("22 1 8:2 / / rw,relatime shared:1 - ext4 /dev/sda1 rw")
	return b
}

func (b *bench) file(name, content string) {
	b.t.Helper()
	full := filepath.Join(b.dir, name)
	if err := os.MkdirAll(filepath.Dir(full), 0o755); err != nil {
		b.t.Fatal(err)
	}
	if err := os.WriteFile(full, []byte(content), 0o644); err != nil {
		b.t.Fatal(err)
	}
}

func (b *bench) link(name, target string) {
	b.t.Helper()
	full := filepath.Join(b.dir, name)
	if err := os.MkdirAll(filepath.Dir(full), 0o755); err != nil {
		b.t.Fatal(err)
	}
	if err := os.Symlink(target, full); err != nil {
		b.t.Fatal(err)
	}
}

func (b *bench) mkdir(names ...string) {
	b.t.Helper()
	for _, name := range names {
		if err := os.MkdirAll(filepath.Join(b.dir, name), 0o755); err != nil {
			b.t.Fatal(err)
		}
	}
}

// mount adds lines of mountinfo.
func (b *bench) mount(lines ...string) {
	b.t.Helper()
	old, _ := os.ReadFile(filepath.Join(b.dir, "proc/self/mountinfo"))
	b.file("proc/self/mountinfo", string(old)+strings.Join(lines, "\n")+"\n")
}

// disk adds a disk at a place below sys/devices, with a number of its own: 8:1, 8:2 and so on.
func (b *bench) disk(place string, content ...func([]byte)) {
	b.t.Helper()
	b.minor++
	name, dir := path.Base(place), "sys/devices/"+place
	image := make([]byte, 2<<20)
	for _, c := range content {
		c(image)
	}
	b.file("dev/"+strings.ReplaceAll(name, "!", "/"), string(image))
	b.file(dir+"/size", fmt.Sprintln(len(image)/512))
	b.file(dir+"/dev", fmt.Sprintf("8:%d\n", b.minor))
	b.file(dir+"/ro", "0\n")
	b.link("sys/class/block/"+name, "../../../"+dir)
	b.link(fmt.Sprintf("sys/dev/block/8:%d", b.minor), "../../../"+dir)
}

// partition adds sda1 to sda.
func (b *bench) partition(disk string, number int, content ...func([]byte)) {
	b.t.Helper()
	dir, err := os.Readlink(filepath.Join(b.dir, "sys/class/block", disk))
	if err != nil {
		b.t.Fatal(err)
	}
	place := strings.TrimPrefix(dir, "../../../sys/devices/") + fmt.Sprintf("/%s%d", disk, number)
	b.disk(place, content...)
	b.file("sys/devices/"+place+"/partition", fmt.Sprintln(number))
	b.file("sys/devices/"+place+"/uevent", fmt.Sprintf("DEVTYPE=partition\nPARTUUID=%s-%s-%d\n", "part", disk, number))
}

func gpt(image []byte) {
	copy(image[512:], "EFI PART")
	image[510], image[511] = 0x55, 0xaa
	image[450] = 0xee
}

func bytesAt(offset int, text string) func([]byte) {
	return func(b []byte) { copy(b[offset:], text) }
}
