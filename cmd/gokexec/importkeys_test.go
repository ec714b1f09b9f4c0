package main

import (
	"strings"
	"testing"
	"testing/fstest"

	"github.com/gokexec/gokexec/pkg/kdumpconf"
)

// What an import gives are keys that gokexec.conf has, with values that they take.
func TestImportedKeysAreKnown(t *testing.T) {
	for _, tt := range []struct {
		files map[string]string
		keys  string // all that such files can give
	}{
		{map[string]string{"etc/kdump.conf": "path /d\next4 UUID=1\nraw /dev/vdb\ncore_collector makedumpfile -l -d 1,31\nfinal_action halt\nfailure_action poweroff\n" +
			"kdump_pre /bin/a\nkdump_post /bin/b\nkdump_emergency /bin/c\nextra_bins /bin/d /bin/e\nextra_modules nvme\ndisk_timeout 30\n",
			"etc/sysconfig/kdump": "KDUMP_KERNELVER=6.1\nKDUMP_COMMANDLINE='root=/dev/vda ro'\nKDUMP_COMMANDLINE_APPEND='nr_cpus=4 x=y'\nKEXEC_ARGS=-s\n"},
			"Add Append CPUs Cmdline Compress DeviceTimeout DumpLevel Emergency FailureAction FinalAction Image Method Module Post Pre Target"},
		{map[string]string{"etc/default/kdump-tools": "KDUMP_COREDIR=/var/crash\nKDUMP_NUM_DUMPS=3\nKDUMP_FAIL_CMD='reboot -f'\nKDUMP_KEXEC_ARGS=-c\nMAKEDUMP_ARGS='-E -d 31'\n"},
			"DumpLevel FailureAction Format KeepDumps Method Target"},
		{map[string]string{"etc/sysconfig/kdump": "KDUMP_SAVEDIR=/var/crash\nKDUMP_KEEP_OLD_DUMPS=4\nKDUMP_FREE_DISK_SIZE=64\nKDUMP_DUMPFORMAT=zstd\nKDUMP_DUMPLEVEL=31\nKDUMP_CPUS=2\n"},
			"CPUs Compress DumpLevel KeepDumps KeepFree Target"},
	} {
		root := fstest.MapFS{}
		for name, text := range tt.files {
			root[name] = &fstest.MapFile{Data: []byte(text)}
		}
		in, err := kdumpconf.Read(root)
		if err != nil || len(in.Unmatched) > 0 {
			t.Fatalf("%v, %v", in, err)
		}
		known, warnings := knownSettings(in.Settings)
		if len(warnings) > 0 {
			t.Errorf("%s: %v", in.Distribution, warnings)
		}
		if _, err := configure(known); err != nil {
			t.Errorf("%s: %v", in.Distribution, err)
		}
		keys := map[string]bool{}
		for _, s := range known {
			keys[s.Key] = true
		}
		for _, key := range strings.Fields(tt.keys) {
			if !keys[key] {
				t.Errorf("%s: no %s= in %v", in.Distribution, key, known)
			}
		}
	}
}
