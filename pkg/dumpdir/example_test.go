package dumpdir_test

import (
	"fmt"
	"time"

	"github.com/gokexec/gokexec/pkg/dumpdir"
)

func ExampleParseName() {
	when, number, ok := dumpdir.ParseName("20261130T031415Z-1")
	fmt.Println(when.Format(time.RFC3339), number, ok)
	_, _, ok = dumpdir.ParseName("202611300314") // of kdump-tools
	fmt.Println(ok)
	// Output:
	// 2026-11-30T03:14:15Z 1 true
	// false
}
