package kmod_test

import (
	"fmt"
	"log"
	"testing/fstest"

	"github.com/gokexec/gokexec/pkg/kmod"
)

// The modules of NVMe disks, in the order in which to load them.
func ExampleTree_Closure() {
	// On a machine: os.DirFS("/").
	root := fstest.MapFS{
		"lib/modules/6.12.1/modules.builtin": {Data: []byte("kernel/fs/ext4/ext4.ko\n")},
		"lib/modules/6.12.1/modules.softdep": {},
		"lib/modules/6.12.1/modules.alias":   {},
		"lib/modules/6.12.1/modules.dep": {Data: []byte(`kernel/drivers/nvme/host/nvme.ko: kernel/drivers/nvme/host/nvme-core.ko kernel/block/t10-pi.ko
kernel/drivers/nvme/host/nvme-core.ko: kernel/block/t10-pi.ko
kernel/block/t10-pi.ko:
`)},
	}
	tree, err := kmod.Open(root, "6.12.1")
	if err != nil {
		log.Fatal(err)
	}
	needed, err := tree.Closure([]string{"nvme", "ext4"}, nil)
	if err != nil {
		log.Fatal(err)
	}
	for _, m := range needed {
		fmt.Println(m.Name)
	}
	// Output:
	// t10_pi
	// nvme_core
	// nvme
}
