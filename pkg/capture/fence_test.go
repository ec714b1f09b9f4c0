package capture

import (
	"encoding/binary"
	"net"
	"path/filepath"
	"testing"
	"time"
)

func TestFenceAddress(t *testing.T) {
	for _, tt := range []struct{ node, host, port string }{
		{"node1", "node1", "7410"}, {"node1.example.com:7411", "node1.example.com", "7411"}, {"192.0.2.1", "192.0.2.1", "7410"},
		{"2001:db8::1", "2001:db8::1", "7410"}, {"[2001:db8::1]", "2001:db8::1", "7410"}, {"[2001:db8::1]:99", "2001:db8::1", "99"},
		{"node1:0", "", ""}, {"node1:70000", "", ""}, {"", "", ""}, {"a b", "", ""}, {"node1:x", "", ""},
	} {
		host, port, err := fenceAddress(tt.node)
		if host != tt.host || port != tt.port || (err == nil) != (tt.host != "") {
			t.Errorf("%q: %q, %q, %v; want %q, %q", tt.node, host, port, err, tt.host, tt.port)
		}
	}
}

// While a dump is saved, the nodes are told so.
func TestFenceKdump(t *testing.T) {
	l, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	s := newFakeSystem(t)
	s.file(t, "/proc/vmcore", string(testVMCore(t)))
	s.file(t, "/crash/x", "")
	got := make(chan []byte, 10)
	go func() {
		for {
			b := make([]byte, 100)
			n, _, err := l.ReadFrom(b)
			if err != nil {
				return
			}
			got <- b[:n]
		}
	}()
	cfg := Config{Targets: []Target{{Type: TargetDirectory, Path: "/crash"}}, FenceKdump: FenceKdump{Nodes: []string{l.LocalAddr().String()}, IntervalSeconds: 1}}
	r := newRun(cfg.withDefaults(), Options{System: s})
	stop := r.startFence(t.Context())
	for range 2 {
		select {
		case b := <-got:
			if len(b) != 8 || binary.NativeEndian.Uint32(b) != 0x1B302A40 || binary.NativeEndian.Uint32(b[4:]) != 1 {
				t.Errorf("message %x", b)
			}
		case <-time.After(10 * time.Second):
			t.Fatal("no message")
		}
	}
	stop()
	if res, err := Run(t.Context(), cfg, Options{System: s}); err != nil {
		t.Errorf("%v, %v", res, err)
	}
	select {
	case <-got:
	case <-time.After(10 * time.Second):
		t.Error("no message while a dump was saved")
	}
	if names, err := filepath.Glob(s.path("/crash/*/vmcore")); len(names) != 1 {
		t.Errorf("dumps %q, %v", names, err)
	}
}
