package main

import (
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// Every interface but the loopback goes down. It is tried in a network of its own,
// by this very program.
func TestIfDown(t *testing.T) {
	const inside = "GOKEXEC_TEST_IFDOWN"
	if os.Getenv(inside) != "" {
		if err := (systemPower{}).IfDown(); err != nil {
			t.Fatal(err)
		}
		links, err := net.Interfaces()
		if err != nil {
			t.Fatal(err)
		}
		for _, l := range links {
			if up := l.Flags&net.FlagUp != 0; up != (l.Name == "lo") {
				t.Errorf("%s is up: %v; want only lo to be", l.Name, up)
			}
		}
		if len(links) < 2 {
			t.Errorf("the test has only %v", links)
		}
		return
	}
	if os.Geteuid() != 0 {
		t.Skip("SKIPPED: root is needed, for a network of its own")
	}
	const script = `ip link set lo up && ip link add name br0 type bridge && ip link set br0 up || { ip link add name d0 type dummy && ip link set d0 up; }`
	try := func(then ...string) ([]byte, error) {
		cmd := exec.Command("unshare", append([]string{"-n", "sh", "-c", script + ` && "$@"`, "sh"}, then...)...)
		cmd.Env = append(os.Environ(), inside+"=1")
		return cmd.CombinedOutput()
	}
	if out, err := try("true"); err != nil {
		t.Skipf("SKIPPED: no network interface can be made here: %v: %s", err, strings.TrimSpace(string(out)))
	}
	if out, err := try(os.Args[0], "-test.run=^TestIfDown$"); err != nil {
		t.Errorf("IfDown: %v\n%s", err, out)
	}
}
