// Command dumpinfo prints what a dump says about the crashed kernel, and the end of its log. It reads an ELF
// core, a compressed or flattened dump of makedumpfile, or /proc/vmcore, of any architecture:
//
//	go run ./examples/dumpinfo /var/crash/20061102T150405Z/vmcore
package main

import (
	"fmt"
	"log"
	"os"

	"github.com/gokexec/gokexec/pkg/kdumpfile"
	"github.com/gokexec/gokexec/pkg/printk"
)

func main() {
	if len(os.Args) != 2 {
		log.Fatalf("usage: %s DUMP", os.Args[0])
	}
	if err := show(os.Args[1]); err != nil {
		log.Fatalf("%s: %v", os.Args[1], err)
	}
}

func show(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	dump, err := kdumpfile.Open(kdumpfile.NewFile(f, 0, info.Size()))
	if err != nil {
		return err
	}
	for _, err := range dump.Damage() { // the rest can still be read
		log.Printf("damaged: %v", err)
	}
	vmcoreinfo, err := dump.VMCoreInfo()
	if err != nil {
		return err
	}
	fmt.Printf("kernel %s, pages of %d bytes, crashed %v\n", vmcoreinfo.OSRelease, vmcoreinfo.PageSize, vmcoreinfo.CrashTime)
	messages, err := printk.Read(dump)
	if err != nil {
		return err
	}
	const last = 20
	var stats printk.Stats
	var lines [][]byte
	for r := range messages.Records(&stats) { // the text of r is valid only until the next record
		if lines = append(lines, printk.AppendText(nil, r)); len(lines) > last {
			lines = lines[1:]
		}
	}
	for _, line := range lines {
		os.Stdout.Write(line)
	}
	return stats.Err // the log may be damaged in places
}
