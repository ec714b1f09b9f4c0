package main

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/pflag"

	"github.com/gokexec/gokexec/pkg/config"
)

// Each option of the commands that the configuration stands for is a key, or has a reason not to be; and each key
// stands for an option.
func TestConfigKeysAreOptions(t *testing.T) {
	c := newConfigured()
	named := map[string]bool{}
	for _, k := range configKeys {
		name := k.command + " --" + k.flag
		if c.flags[k.command] == nil || c.flag(k) == nil {
			t.Fatalf("%s= stands for %s, which is no option", k.key, name)
		}
		if named[name] {
			t.Errorf("two keys stand for %s", name)
		}
		named[name] = true
		if !slices.ContainsFunc(configSections, func(s struct{ name, about string }) bool { return s.name == k.section }) {
			t.Errorf("%s=: there is no section [%s]", k.key, k.section)
		}
		if _, usage := pflag.UnquoteUsage(c.flag(k)); usage == "" {
			t.Errorf("%s= has no text", k.key)
		}
	}
	for _, cmd := range commands() {
		if cmd.name != "load" && cmd.name != "initramfs" && cmd.name != "hotplug" {
			continue
		}
		cmd.flagSet().VisitAll(func(f *pflag.Flag) {
			name := cmd.name + " --" + f.Name
			_, excepted := notConfigured[name]
			if named[name] == excepted {
				t.Errorf("%s: a key %v, an exception %v; want one of both", name, named[name], excepted)
			}
		})
	}
	c.flags[""].VisitAll(func(f *pflag.Flag) {
		if !named[" --"+f.Name] {
			t.Errorf("%s has no key", f.Name)
		}
	})
}

func TestConfigCommand(t *testing.T) {
	b := newBench(t)
	b.want(exitOK, "# no file is there", "", "config")
	b.want(exitOK, "#Target=/var/crash\n", "", "config", "--all")
	b.want(exitOK, "", "", "config", "--get", "Capture.Target")
	if b.stdout.Len() > 0 {
		t.Errorf("a default was printed: %s", &b.stdout)
	}
	b.kernel.Write("etc/gokexec.conf", "[Capture]\nTarget=/a\nTarget=\nTarget=/b\nDumpLevel=17\n[Kernel]\nAppend=x\n")
	b.kernel.Write("run/gokexec.conf.d/10.conf", "[Capture]\nTarget=/c d\nDumpLevel=1\n[Kernel]\nAppend=\n")
	const want = `[Capture]
# /etc/gokexec.conf:4
Target=/b
# /run/gokexec.conf.d/10.conf:2
Target=/c d
# /run/gokexec.conf.d/10.conf:3
DumpLevel=1
`
	b.want(exitOK, want, "", "config")
	if b.stdout.String() != want {
		t.Errorf("printed\n%s\nwant\n%s", &b.stdout, want)
	}
	printed := b.stdout.String()
	b.want(exitOK, "/b\n/c d\n", "", "config", "--get", "Capture.Target")
	b.want(exitOK, "", "", "config", "--json")
	var r configReport
	if err := json.Unmarshal(b.stdout.Bytes(), &r); err != nil || len(r.Files) != 2 || len(r.Settings) != 3 || r.Settings[2].Origin != "/run/gokexec.conf.d/10.conf:3" {
		t.Errorf("%v: %s", err, &b.stdout)
	}
	b.want(exitUsage, "", "there is no such key", "config", "--get", "Capture.Taret")
	b.want(exitUsage, "", "there is no such key", "config", "--get", "Target")

	// What is printed is a configuration that says the same.
	b.kernel.Remove("run/gokexec.conf.d/10.conf")
	b.kernel.Write("etc/gokexec.conf", printed)
	b.want(exitOK, "/b\n/c d\n", "", "config", "--get", "Capture.Target")

	// Of another machine.
	b.want(exitOK, "DumpLevel=1", "", "config", "--sysroot", b.kernel.Dir)
	b.kernel.Write("etc/gokexec.conf", "[Capture]\nKeepDump=x\n")
	b.want(exitFailure, "", "/etc/gokexec.conf:2: [Capture] KeepDump=x: ", "config", "--sysroot", b.kernel.Dir)
}

// The hooks of initramfs builders get the targets as a capture kernel finds them.
func TestConfigTargets(t *testing.T) {
	b := newArmBench(t)
	b.want(exitOK, "", "", "config", "--targets")
	if b.stdout.Len() > 0 {
		t.Errorf("a target that no file sets was printed: %s", &b.stdout)
	}
	b.configure("[Capture]\nTarget=/var/crash\nTarget=" + armedDisk + ":/x\n")
	b.want(exitOK, armedDisk+":/srv/dumps\n"+armedDisk+":/x\n", "", "config", "--targets")
	b.configure("[Capture]\nTarget=raw:/dev/dm-0\n")
	b.want(exitFailure, "", "cache", "config", "--targets")
}

// Every type of value, and the ways of resetting it.
func TestConfigValues(t *testing.T) {
	set := func(lines ...string) []config.Setting {
		var all []config.Setting
		for _, line := range lines {
			name, value, _ := strings.Cut(line, "=")
			section, key, _ := strings.Cut(name, ".")
			all = append(all, config.Setting{Section: section, Key: key, Value: value, Origin: "f:1"})
		}
		return all
	}
	for _, tt := range []struct {
		settings []config.Setting
		got      func(*configured) bool
	}{
		{nil, func(c *configured) bool {
			return c.reuses() && len(c.targets) == 1 && c.targets[0] == "/var/crash" && c.inputs.cpus == 0
		}},
		{set("Kernel.CmdlineExact=yes"), func(c *configured) bool { return c.inputs.exact }},
		{set("Kernel.CmdlineExact=on", "Kernel.CmdlineExact=No"), func(c *configured) bool { return !c.inputs.exact }},
		{set("Kernel.CmdlineExact=1", "Kernel.CmdlineExact="), func(c *configured) bool { return !c.inputs.exact }},
		{set("Kernel.ReuseCmdline=no"), func(c *configured) bool { return !c.reuses() }},
		{set("Kernel.ReuseCmdline=no", "Kernel.ReuseCmdline="), func(c *configured) bool { return c.reuses() }},
		{set("Kernel.Cmdline=x"), func(c *configured) bool { return !c.reuses() && c.inputs.cmdline == "x" }},
		{set("Capture.Target=/a", "Capture.Target=/b"), func(c *configured) bool { return slices.Equal(c.targets, []string{"/a", "/b"}) }},
		{set("Capture.Target=/a", "Capture.Target="), func(c *configured) bool { return slices.Equal(c.dumpTargets(), []string{"/var/crash"}) }},
		{set("Capture.Target=/a", "Capture.Target=", "Capture.Target=/b"), func(c *configured) bool { return slices.Equal(c.targets, []string{"/b"}) }},
		{set("Initramfs.Module=a", "Initramfs.Module=b", "Initramfs.Set=nvme"), func(c *configured) bool { return len(c.initramfs.modules) == 2 && c.initramfs.sets[0] == "nvme" }},
		{set("Hotplug.ReloadTimeout=90s"), func(c *configured) bool { return c.hotplug.timeout.Seconds() == 90 }},
		{set("Capture.KeepDump=3", "Capture.KeepDump="), func(c *configured) bool { return c.initramfs.limits.keepDump == 7 }},
		{set("Capture.Watchdog=no"), func(c *configured) bool { return c.initramfs.watchdog == "no" }},
	} {
		c, err := configure(tt.settings)
		if err != nil || !tt.got(c) {
			t.Errorf("%v: %v, %+v", tt.settings, err, c)
		}
	}
	for _, bad := range []string{
		"Kernel.CmdlineExact=maybe", "Kernel.CPUs=-1", "Kernel.Method=x", "Kernel.Hotplug=x", "Kernel.Serial=x", "Capture.Target=bogus", "Capture.DumpLevel=32",
		"Capture.Format=x", "Capture.Compress=x", "Capture.KeepFree=x", "Capture.KeepDump=-1", "Capture.DeviceTimeout=-1", "Capture.StallTimeout=x", "Capture.FinalAction=x",
		"Capture.FailureAction=x", "Capture.Watchdog=x", "Initramfs.Set=x", "Initramfs.Compression=x", "Hotplug.ReloadTimeout=5", "Hotplug.ReloadTimeout=0s", "Hotplug.ReloadMethod=x",
	} {
		_, err := configure(set("Kernel.Append=x", bad, "Capture.Overwrite=no"))
		_, value, _ := strings.Cut(bad, "=")
		if err == nil || !strings.HasPrefix(err.Error(), "f:1: [") || !strings.Contains(err.Error(), "="+value+": ") {
			t.Errorf("%s: error %v", bad, err)
		}
	}
}

// Whatever a file sets: a configuration, or an error that says where.
func FuzzConfigure(f *testing.F) {
	f.Add(uint8(0), "x", uint8(11), "/y")
	f.Add(uint8(2), "yes", uint8(1), "a=b")
	f.Fuzz(func(t *testing.T, key1 uint8, value1 string, key2 uint8, value2 string) {
		var settings []config.Setting
		for i, s := range []struct {
			key   uint8
			value string
		}{{key1, value1}, {key2, value2}} {
			k := configKeys[int(s.key)%len(configKeys)]
			settings = append(settings, config.Setting{Section: k.section, Key: k.key, Value: s.value, Origin: "/f:" + string(rune('1'+i))})
		}
		c, err := configure(settings)
		if err != nil {
			if !strings.HasPrefix(err.Error(), "/f:") || c != nil {
				t.Fatalf("%v: error %v", settings, err)
			}
			return
		}
		if _, err := configure(inForce(settings)); err != nil {
			t.Fatalf("%v: what is in force is wrong: %v", settings, err)
		}
	})
}
