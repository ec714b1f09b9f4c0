package hotplug

import (
	"errors"
	"os"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func message(fields ...string) []byte { return []byte(strings.Join(fields, "\x00") + "\x00") }

func TestParseUevent(t *testing.T) {
	for _, tt := range []struct {
		name    string
		in      []byte
		want    Uevent
		wantErr bool
	}{
		{"memory", message("online@/devices/system/memory/memory33", "ACTION=online", "DEVPATH=/devices/system/memory/memory33", "SUBSYSTEM=memory", "SEQNUM=1213"),
			Uevent{"online", "/devices/system/memory/memory33", "memory"}, false},
		// MODALIAS of a CPU holds a newline.
		{"cpu", message("add@/devices/system/cpu/cpu1", "ACTION=add", "DEVPATH=/devices/system/cpu/cpu1", "SUBSYSTEM=cpu", "DRIVER=processor", "MODALIAS=cpu:type:x86,ven0002fam000Fmod006B:feature:,0000\n", "SEQNUM=1"),
			Uevent{"add", "/devices/system/cpu/cpu1", "cpu"}, false},
		{"no variables", message("add@/x"), Uevent{"add", "/x", ""}, false},
		{"empty value", message("add@/x", "SUBSYSTEM="), Uevent{"add", "/x", ""}, false},
		{"of udev", message("libudev", "\xfe\xed\xca\xfe"), Uevent{}, true},
		{"empty", nil, Uevent{}, true},
		{"no NUL", []byte("add@/x"), Uevent{}, true},
		{"no path", message("add"), Uevent{}, true},
		{"no action", message("@/x"), Uevent{}, true},
		{"relative path", message("add@x"), Uevent{}, true},
		{"no value", message("add@/x", "SUBSYSTEM"), Uevent{}, true},
		{"two actions", message("add@/x", "ACTION=remove"), Uevent{}, true},
		{"two paths", message("add@/x", "DEVPATH=/y"), Uevent{}, true},
		{"too long", message("add@/" + strings.Repeat("x", maxUevent)), Uevent{}, true},
	} {
		got, err := ParseUevent(tt.in)
		if got != tt.want || (err != nil) != tt.wantErr || tt.wantErr && !errors.Is(err, ErrUevent) {
			t.Errorf("%s: ParseUevent(%q) = %+v, %v; want %+v, error %v", tt.name, tt.in, got, err, tt.want, tt.wantErr)
		}
	}
}

func FuzzParseUevent(f *testing.F) {
	f.Add(message("online@/devices/system/memory/memory33", "ACTION=online", "SUBSYSTEM=memory"))
	f.Add(message("add@/x", "A=\n"))
	f.Add([]byte("libudev\x00"))
	f.Fuzz(func(t *testing.T, b []byte) {
		u, err := ParseUevent(b)
		if err != nil {
			if u != (Uevent{}) {
				t.Errorf("ParseUevent(%q) = %+v and %v; want one of them", b, u, err)
			}
			return
		}
		// What was understood is what it says, and nothing else.
		again := message(u.Action+"@"+u.DevPath, "ACTION="+u.Action, "DEVPATH="+u.DevPath, "SUBSYSTEM="+u.Subsystem)
		if got, err := ParseUevent(again); len(again) <= maxUevent && (err != nil || got != u) {
			t.Errorf("ParseUevent(%q) = %+v, %v; want %+v", again, got, err, u)
		}
		if !strings.HasPrefix(string(b), u.Action+"@"+u.DevPath+"\x00") {
			t.Errorf("ParseUevent(%q) = %+v; want how it begins", b, u)
		}
	})
}

func TestRelevant(t *testing.T) {
	kernel, process := &unix.SockaddrNetlink{Groups: 1}, &unix.SockaddrNetlink{Pid: 77, Groups: 1}
	online := message("online@/devices/system/memory/memory33", "ACTION=online", "SUBSYSTEM=memory")
	for _, tt := range []struct {
		name  string
		b     []byte
		flags int
		from  unix.Sockaddr
		want  bool
	}{
		{"memory", online, 0, kernel, true},
		{"cpu", message("remove@/devices/system/cpu/cpu1", "SUBSYSTEM=cpu"), 0, kernel, true},
		{"cpu bound to a driver", message("bind@/devices/system/cpu/cpu1", "SUBSYSTEM=cpu"), 0, kernel, false},
		{"a disk", message("add@/devices/x", "SUBSYSTEM=block"), 0, kernel, false},
		{"forged", online, 0, process, false},
		{"forged and cut", online, unix.MSG_TRUNC, process, false},
		{"no sender", online, 0, nil, false},
		{"cut", online[:10], unix.MSG_TRUNC, kernel, true},
		{"damaged", message("online", "SUBSYSTEM=memory"), 0, kernel, true},
	} {
		if got := relevant(tt.b, tt.flags, tt.from); got != tt.want {
			t.Errorf("%s: relevant = %v; want %v", tt.name, got, tt.want)
		}
	}
}

// A real socket: Close ends Wait, and what another process sends is not believed.
func TestSocket(t *testing.T) {
	s, err := OpenSocket()
	if err != nil {
		t.Skipf("no uevents here: %v", err)
	}
	ended := make(chan error, 1)
	go func() {
		for {
			if err := s.Wait(); err != nil {
				ended <- err
				return
			}
		}
	}()
	for !receiving() {
		runtime.Gosched()
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; !errors.Is(err, os.ErrClosed) {
		t.Errorf("Wait after Close = %v; want os.ErrClosed", err)
	}
}

// receiving tells whether a goroutine is blocked in Socket.Wait.
func receiving() bool {
	stacks := make([]byte, 1<<20)
	for stack := range strings.SplitSeq(string(stacks[:runtime.Stack(stacks, true)]), "\n\n") {
		if strings.Contains(stack, " [IO wait") && strings.Contains(stack, ".(*Socket).Wait(") {
			return true
		}
	}
	return false
}
