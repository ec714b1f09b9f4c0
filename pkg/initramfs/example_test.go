package initramfs

import (
	"bytes"
	"debug/elf"
	"fmt"
	"log"
)

// An initramfs with a program as /init and its settings. On a machine, Init is
// the opened program file, and with Root: os.DirFS("/"), KernelVersion and
// Modules: []string{"nvme", "ext4"} the modules go in too.
func ExampleBuild() {
	init := program(elf.EM_X86_64, 0)
	var archive bytes.Buffer
	report, err := Build(&archive, Config{
		Init:        bytes.NewReader(init),
		InitSize:    int64(len(init)),
		Settings:    []byte("{}\n"),
		Compression: Gzip,
	})
	if err != nil {
		log.Fatal(err)
	}
	for _, e := range report.Entries {
		if e.Mode.IsRegular() {
			fmt.Println(e.Mode, e.Path, e.Size)
		}
	}
	// Output:
	// -rw------- etc/gokexec/capture.json 3
	// -rwxr-xr-x init 120
}
