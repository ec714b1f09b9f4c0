package report

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/gokexec/gokexec/pkg/oops"
)

const sysrqLog = `[    1.000000] Linux version 6.12.48+deb13-amd64
[   42.000000] sysrq: Trigger a crash
[   42.000100] Kernel panic - not syncing: sysrq triggered crash
[   42.000200] CPU: 1 UID: 0 PID: 812 Comm: bash Not tainted 6.12.48+deb13-amd64 #1  Debian 6.12.48-1
[   42.000300] Hardware name: QEMU Standard PC (Q35 + ICH9, 2009), BIOS 1.16.2-debian-1.16.2-1 04/01/2014
[   42.000400] Call Trace:
[   42.000500]  <TASK>
[   42.000600]  dump_stack_lvl+0x5d/0x80
[   42.000700]  panic+0x335/0x350
[   42.000800]  sysrq_handle_crash+0x1a/0x20
[   42.000900]  __handle_sysrq.cold+0x9f/0xe6
[   42.001000]  write_sysrq_trigger+0x63/0x80
[   42.001100]  </TASK>
`

func TestFromLog(t *testing.T) {
	log := strings.Repeat("[    0.500000] before\n", 100) + strings.ReplaceAll(sysrqLog, "\n", "\r\n") + strings.Repeat("[   43.000000] after\n", 1000)
	r, err := FromLog(strings.NewReader(log))
	if err != nil {
		t.Fatal(err)
	}
	want, err := oops.Read(strings.NewReader(log))
	if err != nil {
		t.Fatal(err)
	}
	if r.Title != want.Title() || r.Fingerprint != want.Fingerprint() || r.Kernel.Release != "6.12.48+deb13-amd64" || r.Crashed == nil || r.Crashed.Task.Name != "bash" {
		t.Errorf("report = %s %s, %+v, %+v; want %s", r.Title, r.Fingerprint, r.Kernel, r.Crashed, want.Title())
	}
	if n := len(r.LogTail); n != tailBefore+tailBegin+1+tailEnd {
		t.Errorf("%d lines of log", n)
	}
	if r.LogTail[tailBefore-1] != "[    1.000000] Linux version 6.12.48+deb13-amd64" || r.LogTail[len(r.LogTail)-1] != "[   43.000000] after" {
		t.Errorf("the log is %q ... %q", r.LogTail[:tailBefore], r.LogTail[len(r.LogTail)-1])
	}
	if _, err := FromLog(strings.NewReader("hello\n")); !errors.Is(err, oops.ErrNone) {
		t.Errorf("%v; want ErrNone", err)
	}
}

func ExampleFromLog() {
	r, err := FromLog(strings.NewReader(sysrqLog))
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(r.Title)
	fmt.Println(r.Crashed.Task.Name)
	// Output:
	// crash by SysRq
	// bash
}
