package kdumpconf_test

import (
	"fmt"
	"testing/fstest"

	"github.com/gokexec/gokexec/pkg/kdumpconf"
)

// What kdump-tools is configured to do, as settings of gokexec.conf.
func ExampleRead() {
	root := fstest.MapFS{"etc/default/kdump-tools": {Data: []byte("KDUMP_COREDIR=/srv/crash\nMAKEDUMP_ARGS=\"-c -d 31\"\nNFS=server:/dumps\n")}}
	in, err := kdumpconf.Read(root)
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, s := range in.Settings {
		fmt.Println(s)
	}
	for _, u := range in.Unmatched {
		fmt.Println(u)
	}
	// Output:
	// [Capture] DumpLevel=31
	// [Capture] Compress=zlib
	// [Capture] Target=nfs:server:/dumps
	// /etc/default/kdump-tools:1: KDUMP_COREDIR: not needed: below the target each machine has a directory of its own name
}
