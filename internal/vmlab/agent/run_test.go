package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/gokexec/gokexec/internal/vmlab/wire"
)

func newServer() (*server, *bytes.Buffer) {
	var out bytes.Buffer
	return &server{out: wire.NewWriter(&out, wire.MaxReply), programs: map[uint64]*program{}}, &out
}

func replies(t *testing.T, out *bytes.Buffer) []wire.Reply {
	t.Helper()
	var all []wire.Reply
	r := wire.NewReader(out, wire.MaxReply)
	for {
		var reply wire.Reply
		if err := r.Read(&reply); err != nil {
			return all
		}
		all = append(all, reply)
	}
}

// A signal that comes before the program has been started waits for it.
func TestSignalAtOnce(t *testing.T) {
	s, _ := newServer()
	s.expect(1)
	signalled := make(chan error)
	go func() { signalled <- s.signal(wire.SignalArgs{Target: 1, Signal: int(syscall.SIGTERM)}) }()
	result, err := s.run(1, wire.RunArgs{Argv: []string{"sleep", "60"}})
	if err != nil || result.Signal != "terminated" {
		t.Errorf("run = %+v, %v; want it terminated", result, err)
	}
	if err := <-signalled; err != nil {
		t.Errorf("signal = %v", err)
	}
	if err := s.signal(wire.SignalArgs{Target: 1}); err != os.ErrProcessDone {
		t.Errorf("signal afterwards = %v; want %v", err, os.ErrProcessDone)
	}
	s.expect(2)
	if _, err := s.run(2, wire.RunArgs{Argv: []string{"/no/such"}}); err == nil || len(s.programs) != 0 {
		t.Errorf("run of no program = %v, %d left", err, len(s.programs))
	}
}

func TestFiles(t *testing.T) {
	s, out := newServer()
	path := filepath.Join(t.TempDir(), "new", "file")
	content := strings.Repeat("x", 2*wire.Chunk+1)
	if err := writeFile(wire.WriteArgs{Path: path, Data: []byte(content[:wire.Chunk]), Create: true, Mode: 0o600}); err != nil {
		t.Fatal(err)
	}
	if err := writeFile(wire.WriteArgs{Path: path, Data: []byte(content[wire.Chunk:]), Offset: wire.Chunk}); err != nil {
		t.Fatal(err)
	}
	if err := writeFile(wire.WriteArgs{Path: path + "2"}); err == nil {
		t.Error("a file was made without Create")
	}
	args, err := json.Marshal(wire.ReadArgs{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	s.answer(wire.Request{ID: 5, Op: wire.OpRead, Args: args})
	s.answer(wire.Request{ID: 6, Op: "dance"})
	s.answer(wire.Request{ID: 7, Op: wire.OpRead, Args: []byte("[]")})
	var got strings.Builder
	done := map[uint64]string{}
	for _, r := range replies(t, out) {
		got.Write(r.Data)
		if r.Type == wire.TypeDone {
			done[r.ID] = r.Error
		}
	}
	if got.String() != content {
		t.Errorf("read %d bytes; want the %d written", got.Len(), len(content))
	}
	if done[5] != "" || !strings.Contains(done[6], "dance") || !strings.Contains(done[7], "arguments of read") || len(done) != 3 {
		t.Errorf("errors by request = %v", done)
	}
}
