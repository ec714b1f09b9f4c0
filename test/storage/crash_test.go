package storage

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/gokexec/gokexec/internal/vmlab"
	"github.com/gokexec/gokexec/pkg/kdumpfile"
	"github.com/gokexec/gokexec/pkg/memmap"
)

// crash is a machine that is armed for what its layouts are, and crashes.
type crash struct {
	name        string
	crashKernel string
	layouts     []string // the dump ends up on the last; the others have no room
	settings    string   // more of gokexec.conf
	maxMemory   int      // MiB; DIMMs can be added
	// arm makes the machine ready to crash, if gokexec arm is not all of it.
	arm func(g *guest, layouts []*layout)
	// keys are looked for where they must not be, if they are not what the layouts' records have.
	keys [][]byte
}

// crashes lists them. The smallest crash memory for a plain disk is 88M (docs/benchmarks.md).
func crashes() []crash {
	list := []crash{{name: "thin pool without room, then LVM on RAID", crashKernel: "96M", layouts: []string{"lvm-thin", "lvm-md"}}}
	if all() {
		list = append(list, crash{name: "LVM on LUKS", crashKernel: "128M", layouts: []string{"lvm-luks"}, settings: "DiskKeys=memory\n"})
	}
	return list
}

// A machine whose dump targets are volumes is armed by gokexec arm, crashes, and has its dump there.
func TestVMStorageCrash(t *testing.T) {
	t.Parallel()
	for _, c := range crashes() {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			c.run(t, vmlab.GetTestKernel(t, "trixie-cloud"), allLayouts())
		})
	}
}

const (
	guestKernel = "/boot/vmlinuz"
	lastWords   = "gokexec-test: last words"
)

// run makes the machine with those of the layouts that the crash names.
func (c *crash) run(t *testing.T, k *vmlab.Kernel, layouts []*layout) {
	layouts = slices.DeleteFunc(layouts, func(l *layout) bool { return !slices.Contains(c.layouts, l.name) })
	// In the order of the targets.
	slices.SortFunc(layouts, func(a, b *layout) int { return slices.Index(c.layouts, a.name) - slices.Index(c.layouts, b.name) })
	lab := newStorageLab(t, k, layouts)
	files := []vmlab.File{vmlab.Executable(gokexec, vmlab.BuildTest(t, "./cmd/gokexec", k.Arch)), {Path: guestKernel, Source: k.Image}}
	var planted vmlab.Plants
	lab.first(booting{tools: true, crashKernel: c.crashKernel, files: files, maxMemory: c.maxMemory}, func(g *guest) {
		conf := "[Kernel]\nImage=" + guestKernel + "\nAppend=" + k.ConsoleArg() + "\n[Capture]\nKeepFree=1M\n" + c.settings
		for _, l := range layouts {
			conf += "Target=" + l.dir() + "\n"
			if l.handOver != "" && c.arm == nil {
				g.must(l, l.handOver)
			}
			if l != layouts[len(layouts)-1] {
				g.must(l, "dd if=/dev/zero of=$top/fill bs=1M count=32 conv=fsync status=none")
			}
		}
		g.WriteFile("/etc/gokexec.conf", conf)
		planted = g.PlantAll(64) // before memory is added, which the host does not see
		if c.arm != nil {
			c.arm(g, layouts)
		} else {
			t.Log(g.Must(gokexec, "arm"))
			g.keepsKeys(layouts, g.keysOf(layouts))
		}
		g.WriteFile("/dev/kmsg", "<3>"+lastWords+"\n")
		g.Crash()
		if end := g.WaitEnd(); end.Reason != "guest-reset" {
			t.Fatalf("the machine ended by %q; want guest-reset, the capture's reboot", end.Reason)
		}
	})
	g := lab.boot(booting{tools: true, files: files[:1]})
	for i, l := range layouts {
		outcome := "complete"
		if i < len(layouts)-1 {
			outcome = "incomplete"
		}
		script := fmt.Sprintf("grep -q '\"outcome\": \"%s\"' $top/2*Z/result.json; grep -q '%s' $top/2*Z/dmesg.txt", outcome, lastWords)
		for _, err := range g.judge(l, script) {
			t.Errorf("%s: %v", l.name, err)
		}
	}
	last := layouts[len(layouts)-1]
	g.must(last, last.up+"\nmkdir -p $top; mount -r "+last.mount+" $top")
	names := g.Glob(last.dir() + "/2*Z/vmcore")
	if len(names) != 1 {
		t.Fatalf("dumps %q; want one", names)
	}
	d, err := kdumpfile.Open(strings.NewReader(g.ReadFile(names[0])))
	if err != nil {
		t.Fatal(err)
	}
	err = planted.Kernel.Check(func(b []byte, phys uint64) error {
		_, err := d.ReadPhysAt(b, memmap.PhysAddr(phys))
		return err
	})
	if err != nil || d.Incomplete() {
		t.Errorf("the kernel's pages in the dump: %v; incomplete %v", err, d.Incomplete())
	}
	g.lacks(last, c.keys, "$top --but vmcore") // which has all memory of the kernel
	g.Reboot("poweroff")
	g.WaitEnd()
}

// keysOf are the keys of the layouts, as far as root can have them.
func (g *guest) keysOf(layouts []*layout) (keys [][]byte) {
	g.T.Helper()
	for _, l := range layouts {
		r := &record{}
		if err := json.Unmarshal([]byte(g.Must("guest", "record", l.dir())), r); err != nil {
			g.T.Fatal(err)
		}
		keys = slices.AppendSeq(keys, maps.Values(r.Keys))
	}
	return keys
}

// lacks looks for keys in the files of directories.
func (g *guest) lacks(l *layout, keys [][]byte, dirs string) {
	g.T.Helper()
	if len(keys) == 0 {
		return
	}
	var all []string
	for _, key := range keys {
		all = append(all, hex.EncodeToString(key))
	}
	g.must(l, "guest lacks "+strings.Join(all, ",")+" "+dirs)
}

// keepsKeys looks for keys in what gokexec has written, and in what its commands say.
func (g *guest) keepsKeys(layouts []*layout, keys [][]byte) {
	g.T.Helper()
	said := map[string]string{"crash.json": g.ReadFile("/run/gokexec/crash.json"), "the console": g.VM.Console()}
	commands := [][]string{{"arm", "--dry-run", "--json"}, {"status"}, {"status", "--json"}, {"check"}, {"config"}, {"metrics"}, {"collect", "/run/collected"}, {"dmesg"}}
	for _, l := range layouts {
		commands = append(commands, []string{"storage", l.dir()}, []string{"storage", "--json", l.dir()})
	}
	for _, argv := range commands {
		r := g.Run(append([]string{gokexec}, argv...)...)
		said["gokexec "+strings.Join(argv, " ")] = r.Stdout + r.Stderr
	}
	said["what collect collects"] = g.ReadFile("/run/collected")
	for where, text := range said {
		for _, key := range keys {
			if strings.Contains(text, string(key)) || strings.Contains(strings.ToLower(text), hex.EncodeToString(key)) {
				g.T.Errorf("a key is in %s", where)
			}
		}
	}
}

// must runs a script for a layout that has to succeed.
func (g *guest) must(l *layout, script string) {
	g.T.Helper()
	if out, err := g.on(l, script); err != nil {
		g.T.Fatalf("%v\n%s", err, out)
	}
}
