package printk_test

import (
	"bytes"
	"fmt"
	"log"
	"os"

	"github.com/gokexec/gokexec/internal/dumptest"
	"github.com/gokexec/gokexec/pkg/elfcore"
	"github.com/gokexec/gokexec/pkg/printk"
)

// The log of a dump is printed as vmcore-dmesg does, and then the urgent part of it.
func Example() {
	dump := exampleDump() // in real life an *os.File of /proc/vmcore
	core, err := elfcore.New(dump, dump.Size())
	if err != nil {
		log.Fatal(err)
	}
	kmsg, err := printk.Read(core)
	if err != nil {
		log.Fatal(err)
	}
	stats, err := printk.WriteText(os.Stdout, kmsg)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(stats.Records, "records,", stats.Damaged, "damaged")

	for r := range kmsg.Records(nil) {
		if r.Level <= 3 {
			fmt.Printf("<%d> %v %s\n", r.Level, r.Time, r.Text)
		}
	}
	// Output:
	// [    0.000000] Linux version 6.12.107
	// [   42.123456] sysrq: Trigger a crash
	// [   42.123999] Kernel panic - not syncing: sysrq triggered crash
	// 3 records, 0 damaged
	// <0> 42.123999s Kernel panic - not syncing: sysrq triggered crash
}

func exampleDump() *bytes.Reader {
	m := dumptest.NewImage(dumptest.Archs[0], "6.12.107")
	r := dumptest.NewRing(m, dumptest.RingConfig{CountBits: 4, SizeBits: 10})
	r.Add(dumptest.Entry{Level: 5, Text: []byte("Linux version 6.12.107")}, dumptest.Finalized)
	r.Add(dumptest.Entry{Level: 6, Time: 42123456000, Text: []byte("sysrq: Trigger a crash")}, dumptest.Finalized)
	r.Add(dumptest.Entry{Level: 0, Time: 42123999000, Text: []byte("Kernel panic - not syncing: sysrq triggered crash")}, dumptest.Finalized)
	r.Store()
	return bytes.NewReader(m.Core().Bytes())
}
