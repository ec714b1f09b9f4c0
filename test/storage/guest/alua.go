package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Directories of the kernel's own SCSI target (drivers/target/target_core_configfs.c, loopback/tcm_loop.c).
const (
	configfs = "/sys/kernel/config"
	backing  = configfs + "/target/core/iblock_0/array"
	ports    = configfs + "/target/loopback"
)

// States of a group of ports (SPC-4, asymmetric logical unit access).
const (
	active  = "0"
	standby = "2" // nothing is read or written
)

// step is a directory to make, and a file to write in it, if any.
type step struct{ dir, file, text string }

// alua makes a storage array of the virtio disk with a serial number: the disk is there by two SCSI paths, of two groups, of
// which the first is active and the other one on standby. name is the array's serial number, the same in each boot.
func alua(serial, name string) error {
	disk, err := virtioDisk(serial)
	if err != nil {
		return err
	}
	if err := unix.Mount("configfs", configfs, "configfs", 0, ""); err != nil && !errors.Is(err, unix.EBUSY) {
		return fmt.Errorf("mount configfs: %w", err)
	}
	steps := []step{
		{ports, "", ""},
		{backing, "control", "udev_path=" + disk}, {backing, "enable", "1"}, {backing, "wwn/vpd_unit_serial", name},
		{backing + "/alua/port1", "tg_pt_gp_id", "1"}, {backing + "/alua/port1", "alua_access_state", active},
		{backing + "/alua/port2", "tg_pt_gp_id", "2"}, {backing + "/alua/port2", "alua_access_state", standby},
	}
	for _, s := range steps {
		if err := s.do(); err != nil {
			return err
		}
	}
	for n := 1; n <= 2; n++ {
		port := fmt.Sprintf("%s/naa.500140500000000%d/tpgt_1", ports, n)
		lun := port + "/lun/lun_0"
		for _, s := range []step{{port, "nexus", fmt.Sprintf("naa.600140500000000%d", n)}, {lun, "", ""}} {
			if err := s.do(); err != nil {
				return err
			}
		}
		if err := os.Symlink(backing, lun+"/disk"); err != nil {
			return err
		}
		if err := (step{lun, "alua_tg_pt_gp", fmt.Sprintf("port%d", n)}).do(); err != nil {
			return err
		}
		if err := paths(n); err != nil {
			return err
		}
	}
	return nil
}

func (s step) do() error {
	if err := os.MkdirAll(s.dir, 0o755); err != nil || s.file == "" {
		return err
	}
	return os.WriteFile(filepath.Join(s.dir, s.file), []byte(s.text+"\n"), 0)
}

func virtioDisk(serial string) (string, error) {
	found, _ := filepath.Glob("/sys/block/vd*/serial")
	for _, name := range found {
		if text, err := os.ReadFile(name); err == nil && strings.TrimSpace(string(text)) == serial {
			return "/dev/" + strings.Split(name, "/")[3], nil
		}
	}
	return "", fmt.Errorf("no virtio disk has the serial number %s", serial)
}

// paths waits until so many disks of the array are there.
func paths(want int) error {
	var found []string
	for range 100 {
		found = nil
		names, _ := filepath.Glob("/sys/block/sd*/device/vendor")
		for _, name := range names {
			if vendor, err := os.ReadFile(name); err == nil && strings.TrimSpace(string(vendor)) == "LIO-ORG" {
				found = append(found, name)
			}
		}
		if len(found) == want {
			return nil
		}
		time.Sleep(100 * time.Millisecond)
	}
	return fmt.Errorf("paths %q; want %d", found, want)
}
