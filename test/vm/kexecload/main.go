// Command kexecload calls kexec_load with lists of segments, read as JSON from
// its standard input, and prints the errno of each.
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"github.com/gokexec/gokexec/internal/kexecsys"
	"github.com/gokexec/gokexec/internal/kexectest"
)

func main() {
	var lists []kexectest.SegmentList
	if err := json.NewDecoder(os.Stdin).Decode(&lists); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	for _, l := range lists {
		var errno unix.Errno
		if err := (kexecsys.Kernel{}).KexecLoad(l.Entry, l.Kernel(), l.Flags); err != nil && !errors.As(err, &errno) {
			fmt.Fprintf(os.Stderr, "%s: %v\n", l.Name, err)
			os.Exit(1)
		}
		fmt.Println(int(errno))
	}
}
