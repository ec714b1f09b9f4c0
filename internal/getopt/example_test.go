package getopt_test

import (
	"fmt"

	"github.com/gokexec/gokexec/internal/getopt"
)

func Example() {
	set := getopt.Set{Short: "pu", Long: []getopt.Long{{Name: "append", Arg: getopt.Required, Val: 256}}}
	items, operands := set.Parse([]string{"kexec", "vmlinuz", "-pu", "--app", "quiet", "--nosuch"})
	for _, i := range items {
		fmt.Printf("%d %q %q\n", i.Val, i.Arg, i.Err)
	}
	fmt.Println(operands)
	// Output:
	// 112 "" ""
	// 117 "" ""
	// 256 "quiet" ""
	// 63 "" "kexec: unrecognized option '--nosuch'"
	// [vmlinuz]
}
