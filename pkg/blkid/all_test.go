package blkid

import (
	"strings"
	"testing"
	"testing/fstest"
)

// All finds copies and members too; a SCSI disk without another serial number has that of its vital product data.
func TestAll(t *testing.T) {
	m := newMachine()
	m.disk("sda", ext4)
	m.disk("sdb", ext4)
	m.disk("sdc")
	m.disk("sdd", ext4)
	m.attribute("sdb/holders/md0", "")
	m.sysfs["sys/class/block/sdc/device/vpd_pg80"] = &fstest.MapFile{Data: []byte("\x00\x80\x00\x08 SN-1  \x00beyond")}
	m.sysfs["sys/class/block/sdd/device/vpd_pg80"] = &fstest.MapFile{Data: []byte("\x00\x83\x00\x04SN-1")}
	names := func(ref Ref) string {
		t.Helper()
		all, err := m.finder().All(t.Context(), ref)
		if err != nil {
			t.Fatal(err)
		}
		var names []string
		for _, d := range all {
			names = append(names, d.Node)
		}
		return strings.Join(names, " ")
	}
	if got := names(Ref{"UUID", FormatUUID(testUUID[:])}); got != "/dev/sda /dev/sdb /dev/sdd" {
		t.Errorf("UUID: %s; want all that hold it", got)
	}
	if got := names(Ref{"SERIAL", "SN-1"}); got != "/dev/sdc" {
		t.Errorf("SERIAL: %s; want the disk of that page", got)
	}
	if got := names(Ref{"", "/dev/sdb"}); got != "/dev/sdb" {
		t.Errorf("path: %s", got)
	}
	if got := names(Ref{"WWID", "x"}); got != "" {
		t.Errorf("WWID: %s; want none", got)
	}
}
