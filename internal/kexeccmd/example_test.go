package kexeccmd_test

import (
	"fmt"

	"github.com/gokexec/gokexec/internal/kexeccmd"
)

func Example() {
	inv, err := kexeccmd.Parse("x86_64", []string{"kexec", "-ps", "/boot/vmlinuz", "--append", "irqpoll"}, false)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(inv.Load, inv.Crash, inv.Method, inv.Kernels, *inv.Append)
	if stop := inv.Refuse(kexeccmd.Machine{}); stop != nil {
		fmt.Println(stop.Code)
	}
	// Output:
	// true true file [/boot/vmlinuz] irqpoll
	// 1
}
