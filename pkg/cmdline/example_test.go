package cmdline_test

import (
	"debug/elf"
	"fmt"

	"github.com/gokexec/gokexec/pkg/cmdline"
)

func ExampleReuse() {
	running, err := cmdline.Parse(`BOOT_IMAGE=/vmlinuz root=/dev/sda1 crashkernel=256M dyndbg="file a.c +p"`)
	if err != nil {
		fmt.Println(err)
		return
	}
	reused, changes := cmdline.Reuse(running, false, elf.EM_X86_64)
	fmt.Println(reused)
	for _, c := range changes {
		fmt.Println("dropped", c.Text)
	}
	// Output:
	// root=/dev/sda1 dyndbg="file a.c +p"
	// dropped BOOT_IMAGE=/vmlinuz
	// dropped crashkernel=256M
}
