// The dump benchmark filters and compresses a saved vmcore with makedumpfile and with gokexec as
// makedumpfile, in turn, and prints the best time of each, what it used of the CPUs and of memory, and what it made:
//
//	go run ./test/bench/dump -dir /dev/shm VMCORE
//
// The file should be in the page cache, and the directory on a tmpfs.
package main

import (
	"flag"
	"fmt"
	"log"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// result is what one program needed at best.
type result struct {
	wall, cpu time.Duration
	rss       int64 // KiB
	size      int64 // bytes
}

func main() {
	log.SetFlags(0)
	peer := flag.String("makedumpfile", "makedumpfile", "the program to compare with")
	dir := flag.String("dir", os.TempDir(), "the directory for the dumps")
	rounds := flag.Int("rounds", 3, "how often each is run")
	forms := flag.String("options", "-l -d 31,-z -d 31,-c -d 31,-d 31,-E -d 31,-l -d 0,-z -d 0,-c -d 0,-d 0", "makedumpfile's options to compare, separated by commas")
	cpus := flag.Int("cpus", 0, "CPUs for both, 0: all")
	flag.Parse()
	if flag.NArg() != 1 {
		log.Fatal("usage: dump [options] VMCORE")
	}
	tmp, err := os.MkdirTemp(*dir, "gokexec-bench")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(tmp)
	own := filepath.Join(tmp, "makedumpfile")
	build := exec.Command("go", "build", "-trimpath", "-ldflags=-s -w", "-o", own, "./cmd/gokexec")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		log.Fatalf("%v: %v\n%s", build, err, out)
	}
	fmt.Printf("%-28s %8s %8s %8s %9s   %8s %8s %8s %9s   %5s %5s %5s\n", "", "peer s", "CPU s", "MiB", "file KiB", "own s", "CPU s", "MiB", "file KiB", "time", "CPU", "size")
	for _, options := range strings.Split(*forms, ",") {
		args := strings.Fields(options)
		var peers, owns result
		for range *rounds {
			peers = best(peers, run(*peer, args, flag.Arg(0), tmp, *cpus))
			if args[0] != "-E" && *cpus != 1 {
				// With a thread for each CPU, as kdump's scripts call it.
				peers = best(peers, run(*peer, append([]string{"--num-threads", "2"}, args...), flag.Arg(0), tmp, *cpus))
			}
			owns = best(owns, run(own, args, flag.Arg(0), tmp, *cpus))
		}
		fmt.Printf("%-28s %s   %s   %5.2f %5.2f %5.2f\n", options, peers, owns,
			owns.wall.Seconds()/peers.wall.Seconds(), owns.cpu.Seconds()/peers.cpu.Seconds(), float64(owns.size)/float64(peers.size))
	}
}

func (r result) String() string {
	return fmt.Sprintf("%8.3f %8.3f %8.1f %9d", r.wall.Seconds(), r.cpu.Seconds(), float64(r.rss)/1024, r.size>>10)
}

func best(a, b result) result {
	if a.wall == 0 {
		return b
	}
	a.wall, a.cpu, a.rss, a.size = min(a.wall, b.wall), min(a.cpu, b.cpu), max(a.rss, b.rss), b.size
	return a
}

// run runs a program once.
func run(program string, args []string, vmcore, dir string, cpus int) result {
	out := filepath.Join(dir, "dump")
	os.Remove(out)
	argv := append(append([]string{"--message-level", "4"}, args...), vmcore, out)
	if cpus > 0 {
		argv = append([]string{"-c", fmt.Sprint("0-", cpus-1), program}, argv...)
		program = "taskset"
	}
	cmd := exec.Command(program, argv...)
	cmd.Stderr = os.Stderr
	start := time.Now()
	if err := cmd.Run(); err != nil {
		log.Fatalf("%v: %v", cmd, err)
	}
	r := result{wall: time.Since(start), cpu: cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()}
	if u, ok := cmd.ProcessState.SysUsage().(*syscall.Rusage); ok {
		r.rss = int64(u.Maxrss)
	}
	if st, err := os.Stat(out); err == nil {
		r.size = st.Size()
	}
	return r
}
