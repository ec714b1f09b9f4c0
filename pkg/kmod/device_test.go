package kmod

import (
	"maps"
	"slices"
	"strings"
	"testing"
)

// guarded is a machine with four watchdogs and a virtio-mem device.
func guarded(t *testing.T, more map[string]string) map[string]string {
	t.Helper()
	files := map[string]string{
		// iTCO_wdt hangs below the LPC bridge, whose driver makes its device.
		"sys/devices/pci0000:00/0000:00:1f.0/driver/module":                        "-> ../../../../module/lpc_ich",
		"sys/devices/pci0000:00/0000:00:1f.0/iTCO_wdt/driver/module":               "-> ../../../../../module/iTCO_wdt",
		"sys/devices/pci0000:00/0000:00:1f.0/iTCO_wdt/watchdog/watchdog0/state":    "active\n",
		"sys/devices/pci0000:00/0000:00:1f.0/iTCO_wdt/watchdog/watchdog0/identity": "iTCO_wdt\n",
		"sys/devices/pci0000:00/0000:00:1f.0/iTCO_wdt/watchdog/watchdog0/timeout":  "30\n",
		"sys/devices/pci0000:00/0000:00:1f.0/iTCO_wdt/watchdog/watchdog0/device":   "-> ../../../iTCO_wdt",
		"sys/class/watchdog/watchdog0":                                             "-> ../../devices/pci0000:00/0000:00:1f.0/iTCO_wdt/watchdog/watchdog0",
		"sys/class/watchdog/watchdog1/state":                                       "active\n",
		"sys/class/watchdog/watchdog1/identity":                                    "Software Watchdog\n",
		"sys/class/watchdog/watchdog2/state":                                       "active\n",
		"sys/class/watchdog/watchdog2/identity":                                    "IPMI\n",
		"sys/class/watchdog/watchdog3/state":                                       "inactive\n",
		"sys/class/watchdog/watchdog4/identity":                                    "a board's own\n",
		"sys/module/lpc_ich/x":                                                     "",
		"sys/module/iTCO_wdt/refcnt":                                               "1\n",
		"sys/module/softdog/refcnt":                                                "1\n",
		"sys/module/ipmi_watchdog/refcnt":                                          "1\n",
		"sys/module/ipmi_si/refcnt":                                                "1\n",
		"sys/module/board_wdt/refcnt":                                              "1\n",
		"sys/module/idle_wdt/refcnt":                                               "0\n",
		"sys/devices/pci0000:00/0000:00:04.0/virtio3/modalias":                     "virtio:d00000018v00001AF4\n",
		"sys/devices/pci0000:00/0000:00:04.0/modalias":                             "pci:v00001AF4d00001058sv\n",
		"sys/devices/pci0000:00/0000:00:04.0/driver/module":                        "-> ../../../../module/virtio_pci",
		"sys/module/virtio_pci/x":                                                  "",
		"sys/bus/virtio/devices/virtio3":                                           "-> ../../../devices/pci0000:00/0000:00:04.0/virtio3",
		"sys/bus/virtio/devices/virtio9/modalias":                                  "virtio:d00000002v00001AF4\n",
	}
	maps.Copy(files, more)
	return files
}

func TestWatchdogs(t *testing.T) {
	root := onDisk(t, guarded(t, nil))
	dogs, err := Watchdogs(root)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"watchdog0 iTCO_wdt", "watchdog1 softdog software", "watchdog2 ipmi_watchdog ipmi_si", "watchdog4 board_wdt iTCO_wdt ipmi_watchdog ipmi_si"}
	var got []string
	for _, d := range dogs {
		s := d.Name + " " + strings.Join(d.Drivers, " ")
		if d.Software {
			s += " software"
		}
		got = append(got, s)
	}
	if !slices.Equal(got, want) {
		t.Errorf("Watchdogs() = %q; want %q", got, want)
	}
	if dogs[0].Timeout != "30" {
		t.Errorf("Watchdogs()[0] = %+v; want its timeout", dogs[0])
	}
	if dogs, err := Watchdogs(onDisk(t, map[string]string{"sys/class/x": ""})); err != nil || dogs != nil {
		t.Errorf("Watchdogs() of a machine without any = %v, %v", dogs, err)
	}
}

// guardTree has the drivers, of which one is built in.
func guardTree(t *testing.T) *Tree {
	t.Helper()
	const dir = "lib/modules/6.1.0/"
	tree, err := Open(onDisk(t, map[string]string{
		dir + "modules.dep":     "kernel/lpc_ich.ko:\nkernel/iTCO_wdt.ko: kernel/iTCO_vendor_support.ko\nkernel/iTCO_vendor_support.ko:\nkernel/virtio_mem.ko:\nkernel/virtio_pci.ko:\n",
		dir + "modules.builtin": "kernel/drivers/char/ipmi/ipmi_watchdog.ko\n",
		dir + "modules.alias":   "alias virtio:d00000018v* virtio_mem\nalias pci:v00001AF4d*sv* virtio_pci\n",
	}), "6.1.0")
	if err != nil {
		t.Fatal(err)
	}
	return tree
}

func TestModulesForWatchdog(t *testing.T) {
	root := onDisk(t, guarded(t, nil))
	dogs, err := Watchdogs(root)
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []struct {
		names string
		known bool
	}{{"lpc_ich iTCO_wdt", true}, {"", false}, {"", true}, {"iTCO_wdt", false}} {
		names, known, err := guardTree(t).ModulesForWatchdog(root, dogs[i])
		if err != nil || known != want.known || strings.Join(names, " ") != want.names {
			t.Errorf("ModulesForWatchdog(%s) = %q, %v, %v; want %q, %v", dogs[i].Name, names, known, err, want.names, want.known)
		}
	}
}

func TestModulesForHotMemory(t *testing.T) {
	root := onDisk(t, guarded(t, nil))
	names, err := guardTree(t).ModulesForHotMemory(root)
	if err != nil || !slices.Equal(names, []string{"virtio_pci", "virtio_mem"}) {
		t.Errorf("ModulesForHotMemory() = %q, %v; want virtio_pci before virtio_mem", names, err)
	}
	names, err = guardTree(t).ModulesForHotMemory(onDisk(t, map[string]string{"sys/bus/virtio/devices/virtio9/modalias": "virtio:d00000002v00001AF4\n"}))
	if err != nil || names != nil {
		t.Errorf("ModulesForHotMemory() without such memory = %q, %v", names, err)
	}
}
