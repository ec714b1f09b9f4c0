package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"github.com/gokexec/gokexec/pkg/capture"
)

// initName is what the kernel calls the init of an initramfs (init/main.c,
// ramdisk_execute_command). Words of its command line that it doesn't know follow.
const initName = "/init"

// initReadingTime is how long the last message of an init stays on the screen.
const initReadingTime = 10 * time.Second

// namesCommand reports whether a process was started for a command: as kexec, or with
// the command's name as its first argument.
func namesCommand(argv []string) bool {
	if len(argv) == 0 || argv[0] == initName {
		return false
	}
	if findProgram(filepath.Base(argv[0])) != nil {
		return true
	}
	if len(argv) < 2 {
		return false
	}
	if findProgram(argv[1]) != nil {
		return true
	}
	switch argv[1] {
	case "help", "--help", "-h", "version", "--version", "-V":
		return true
	}
	return slices.ContainsFunc(commands(), func(c command) bool { return c.name == argv[1] })
}

// otherInit is what gokexec needs if it was started as init by mistake.
type otherInit struct {
	argv []string
	say  func(line string)
	exec func(path string, argv []string) error // returns only an error
	wait func(time.Duration)
	exit func(code int)
}

func systemInit() otherInit {
	return otherInit{
		argv: os.Args,
		say: func(line string) {
			fmt.Fprintln(os.Stderr, line)
			(&env{kmsg: "/dev/kmsg"}).kernelLog(kernelError, line)
		},
		exec: func(path string, argv []string) error { return unix.Exec(path, argv, os.Environ()) },
		wait: time.Sleep,
		exit: os.Exit,
	}
}

// firstProcess is PID 1 of a capture kernel. In another kernel it starts the system's own
// init instead. In a container it does nothing.
func firstProcess(sys capture.System, o otherInit) {
	switch sys.Place() {
	case capture.CaptureKernel:
		end := capture.Init(capture.InitOptions{System: sys, Version: version(), Reporter: reporter(), LoadModules: loadModules})
		o.exit(end.ExitCode)
	case capture.OtherKernel:
		o.handOver()
	}
}

// handOver starts what the kernel would have started without init= (init/main.c,
// kernel_init). If there is none it exits, and the kernel panics.
func (o otherInit) handOver() {
	o.say("gokexec: not the init of this kernel: it was not started by a panic (there is no /proc/vmcore), and this initramfs was not made by gokexec initramfs")
	o.say("hint: remove init= or rdinit= from the kernel's command line; to run a command of gokexec, name it, as in gokexec status")
	self, _ := os.Stat(o.argv[0])
	for _, path := range []string{initName, "/sbin/init", "/etc/init", "/bin/init"} {
		info, err := os.Stat(path)
		if err != nil || self != nil && os.SameFile(self, info) {
			continue
		}
		o.say("gokexec: handing over to " + path)
		err = o.exec(path, append([]string{path}, o.argv[1:]...))
		o.say(fmt.Sprintf("gokexec: %s: %v", path, err))
	}
	o.say("gokexec: there is no other init; exiting, so that the kernel panics, and reboots if panic= says so")
	o.wait(initReadingTime)
	o.exit(exitFailure)
}
