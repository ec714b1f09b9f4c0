// Command unarmed runs in a guest: it runs the program that its arguments name,
// while it looks at kexec_crash_loaded all the time, and prints for how many
// nanoseconds there was no crash kernel at the longest.
package main

import (
	"fmt"
	"os"
	"os/exec"
	"time"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "unarmed:", err)
		os.Exit(1)
	}
}

func run() error {
	f, err := os.Open("/sys/kernel/kexec_crash_loaded")
	if err != nil {
		return err
	}
	defer f.Close()
	cmd := exec.Command(os.Args[1], os.Args[2:]...)
	cmd.Stderr = os.Stderr
	done := make(chan error, 1)
	if err := cmd.Start(); err != nil {
		return err
	}
	go func() { done <- cmd.Wait() }()
	var longest time.Duration
	armed := time.Now()
	b := make([]byte, 4)
	for {
		if _, err := f.ReadAt(b[:1], 0); err != nil {
			return err
		}
		now := time.Now()
		if b[0] == '1' {
			armed = now
		} else if gap := now.Sub(armed); gap > longest {
			longest = gap
		}
		select {
		case err := <-done:
			fmt.Println(longest.Nanoseconds())
			return err
		default:
			time.Sleep(100 * time.Microsecond)
		}
	}
}
