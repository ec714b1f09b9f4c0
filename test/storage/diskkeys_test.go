package storage

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/gokexec/gokexec/internal/vmlab"
)

// handOverLogon makes the key of a LUKS volume one that no program can read, and each load finds.
const handOverLogon = "cryptsetup open --test-passphrase --key-file /run/key $1 --link-vk-to-keyring \"@u::%logon:gokexec:c-$name\""

const keyCount = "/sys/kernel/config/crash_dm_crypt_keys/count"

// The kernel hands the keys over: a machine with LUKS volumes crashes, and no initramfs ever had a key.
func TestVMBuiltDiskKeys(t *testing.T) {
	vmlab.BuiltMatrix(t, func(t *testing.T, k *vmlab.Kernel) {
		luks1, luks2, onLUKS := encrypted("luks1", "luks1"), encrypted("luks2", "luks2"), &layout{}
		luks1.parts, luks2.parts = []int{52}, []int{192}
		for _, l := range allLayouts() {
			if l.name == "lvm-luks" {
				onLUKS = l
			}
		}
		onLUKS.parts = []int{192}
		armed := &crash{crashKernel: "128M", layouts: []string{"luks1", "luks2"}, settings: "DiskKeys=kernel\n", maxMemory: 2048}
		armed.arm = armed.handOver
		t.Run("arm", func(t *testing.T) { armed.run(t, k, []*layout{luks1, luks2}) })
		loaded := &crash{crashKernel: "128M", layouts: []string{"lvm-luks"}}
		loaded.arm = func(g *guest, layouts []*layout) { loaded.loadFile(g, layouts[0], k) }
		t.Run("load", func(t *testing.T) { loaded.run(t, k, []*layout{onLUKS}) })
	}, "built-diskkeys")
}

// volumeKey is the key of the LUKS2 volume of a layout. It is in a keyring where it can be read for a moment only.
func (g *guest) volumeKey(l *layout) []byte {
	g.T.Helper()
	g.must(l, handOver)
	keys := g.keysOf([]*layout{l})
	g.must(l, `guest forget user "gokexec:c-$name"`)
	if len(keys) != 1 {
		g.T.Fatalf("%s: %d keys; want 1", l.name, len(keys))
	}
	return keys[0]
}

// refusesLoad runs a command that has to fail, with all of these words, and to leave the crash kernel as it is.
func (g *guest) refusesLoad(loaded string, argv []string, want ...string) {
	g.T.Helper()
	r := g.Run(argv...)
	for _, word := range append(want, "hint:") {
		if !strings.Contains(r.Stderr, word) {
			g.T.Errorf("%v says %q; want %q", argv, r.Stderr, word)
		}
	}
	if got := strings.TrimSpace(g.ReadFile("/sys/kernel/kexec_crash_loaded")); r.Code == 0 || got != loaded {
		g.T.Errorf("%v: exit code %d, kexec_crash_loaded %s; want a failure, and %s", argv, r.Code, got, loaded)
	}
}

// accurate checks that the crash kernel was loaded with so many keys, for the machine as it is.
func (g *guest) accurate(keys string) {
	g.T.Helper()
	var s struct {
		Header struct{ Accuracy string } `json:"elfcorehdr"`
	}
	text := g.Must(gokexec, "status", "--json")
	if err := json.Unmarshal([]byte(text), &s); err != nil || s.Header.Accuracy != "accurate" {
		g.T.Errorf("status: %v\n%s\nwant accurate", err, text)
	}
	if got := strings.TrimSpace(g.ReadFile(keyCount)); got != keys {
		g.T.Errorf("%s keys are configured; want %s", got, keys)
	}
}

// handOver arms with the keys of a LUKS1 volume, which the table has, and of a LUKS2 volume, which root hands over. These are
// gone from the keyrings when it is loaded again, since memory was added.
func (c *crash) handOver(g *guest, layouts []*layout) {
	luks2 := layouts[1]
	c.keys = append(g.keysOf(layouts[:1]), g.volumeKey(luks2))
	g.refusesLoad("0", []string{gokexec, "arm"}, "--link-vk-to-keyring '@u::%logon:gokexec:c-luks2'")
	g.must(luks2, handOverLogon)
	g.T.Log(g.Must("guest", "session", gokexec, "arm")) // as a service does it
	g.accurate("2")
	for _, l := range layouts {
		g.must(l, `guest forget logon "gokexec:c-$name"`)
	}
	g.refusesLoad("1", []string{gokexec, "arm"}, "gokexec:c-luks2")
	g.T.Log(g.Must(gokexec, "reload"))
	g.accurate("2")
	if err := g.VM.AddDIMM(g.T.Context(), "d0", 256); err != nil {
		g.T.Fatal(err)
	}
	g.Eventually("the header is stale", func() string {
		if text := g.Run(gokexec, "status").Stdout; !strings.Contains(text, "stale") {
			return text
		}
		return ""
	})
	g.T.Log(g.Run(gokexec, "hotplug").Stderr)
	g.accurate("2")
	g.keepsKeys(layouts, c.keys)
	g.lacks(luks2, c.keys, "/ /run /mnt/luks1 /mnt/luks2")
}

// loadFile loads an initramfs that is in a file.
func (c *crash) loadFile(g *guest, l *layout, k *vmlab.Kernel) {
	const initrd = "/run/initrd"
	c.keys = [][]byte{g.volumeKey(l)}
	build := []string{gokexec, "initramfs", "--disk-keys", "kernel", "--compression", "none", "--keep-free", "1M", "-o", initrd, l.dir()}
	load := []string{gokexec, "load", "--crash", guestKernel, "--initrd", initrd, "--append", k.ConsoleArg()}
	g.refusesLoad("0", build, "--link-vk-to-keyring '@u::%logon:gokexec:c-lvm-luks'")
	g.must(l, handOverLogon)
	g.T.Log(g.Must(build...))
	g.must(l, `guest forget logon "gokexec:c-$name"`)
	g.refusesLoad("0", load, "gokexec:c-lvm-luks", "keyring")
	g.must(l, handOverLogon)
	g.refusesLoad("0", append(load, "--method", "segments"), "kexec_load can't hand over")
	g.T.Log(g.Must(load...))
	g.accurate("1")
	// Another load frees the kernel from what it no longer needs.
	g.Must(gokexec, "unload", "--crash")
	if got := strings.TrimSpace(g.ReadFile(keyCount)); got != "0" {
		g.T.Errorf("after unload %s keys are configured; want none", got)
	}
	g.Must(load...)
	g.accurate("1")
	g.lacks(l, c.keys, "/ /run $top")
}
