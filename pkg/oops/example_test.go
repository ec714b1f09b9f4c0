package oops_test

import (
	"fmt"
	"log"
	"os"

	"github.com/gokexec/gokexec/pkg/oops"
)

func Example() {
	f, err := os.Open("testdata/trixie-cloud-null.log")
	if err != nil {
		log.Fatal(err)
	}
	defer f.Close()
	o, err := oops.Read(f)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(o.Title())
	fmt.Println(o.Fingerprint())
	fmt.Printf("%s on %s, CPU %d, task %s\n", o.Kind, o.Release, o.CPU, o.Comm)
	// Output:
	// NULL pointer dereference in crash_null_inner [crashmodule]
	// e562e7ec2e0dd984
	// null-dereference on 6.12.118+deb13-cloud-amd64, CPU 0, task busybox
}
