package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/gokexec/gokexec/internal/vmlab/wire"
	"golang.org/x/sys/unix"
)

// server answers requests. Requests run at the same time.
type server struct {
	channel *os.File
	out     *wire.Writer

	mu       sync.Mutex
	programs map[uint64]*program // by the ID of their request
}

// serverMain serves until the channel fails.
func serverMain() error {
	// Tests exhaust memory on purpose; the channel is to outlive that.
	_ = os.WriteFile("/proc/self/oom_score_adj", []byte("-1000"), 0)
	channel, err := openChannel()
	if err != nil {
		return err
	}
	s := &server{channel: channel, out: wire.NewWriter(channel, wire.MaxReply), programs: map[uint64]*program{}}
	if err := s.out.Write(wire.Reply{Type: wire.TypeHello, Hello: hello()}); err != nil {
		return err
	}
	in := wire.NewReader(channel, wire.MaxRequest)
	for {
		var request wire.Request
		err := in.Read(&request)
		switch {
		case errors.Is(err, wire.ErrCorrupt):
			err = s.out.Write(wire.Reply{Type: wire.TypeBad, Error: err.Error()})
		case errors.Is(err, io.EOF):
			// A virtio port reads so while the host is not connected.
			time.Sleep(100 * time.Millisecond)
			err = nil
		case err == nil:
			// Before the acknowledgement: a signal may follow at once.
			if request.Op == wire.OpRun {
				s.expect(request.ID)
			}
			err = s.out.Write(wire.Reply{Type: wire.TypeAck, ID: request.ID})
			go s.answer(request)
		}
		if err != nil {
			return err
		}
	}
}

func hello() *wire.Hello {
	h := &wire.Hello{PageSize: os.Getpagesize()}
	var uname unix.Utsname
	if unix.Uname(&uname) == nil {
		h.Release = unix.ByteSliceToString(uname.Release[:])
		h.Machine = unix.ByteSliceToString(uname.Machine[:])
	}
	cmdline, _ := os.ReadFile("/proc/cmdline")
	h.Cmdline = strings.TrimSpace(string(cmdline))
	id, _ := os.ReadFile("/proc/sys/kernel/random/boot_id")
	h.BootID = strings.TrimSpace(string(id))
	var up unix.Timespec
	if unix.ClockGettime(unix.CLOCK_BOOTTIME, &up) == nil {
		h.Uptime = time.Duration(up.Nano())
	}
	h.Restart, _ = strconv.Atoi(os.Getenv(restartVar))
	if w := os.Getenv(warningsVar); w != "" {
		h.Warnings = strings.Split(w, "\n")
	}
	return h
}

// answer does what the request asks and sends the one TypeDone reply.
func (s *server) answer(request wire.Request) {
	reply := wire.Reply{Type: wire.TypeDone, ID: request.ID}
	result, after, err := s.do(request)
	if err == nil && result != nil {
		reply.Result, err = json.Marshal(result)
	}
	if err != nil {
		reply.Error = err.Error()
	}
	if err := s.out.Write(reply); err != nil {
		fmt.Fprintf(os.Stderr, "lab: answer %s: %v\n", request.Op, err)
	}
	if after != nil {
		drain(s.channel)
		if err := after(); err != nil {
			fmt.Fprintf(os.Stderr, "lab: %s: %v\n", request.Op, err)
		}
	}
}

// do returns the result, and what is to be done after the answer has left.
func (s *server) do(request wire.Request) (result any, after func() error, err error) {
	switch request.Op {
	case wire.OpRun:
		result, err = with(request, func(a wire.RunArgs) (any, error) { return s.run(request.ID, a) })
	case wire.OpSignal:
		_, err = with(request, func(a wire.SignalArgs) (any, error) { return nil, s.signal(a) })
	case wire.OpWrite:
		_, err = with(request, func(a wire.WriteArgs) (any, error) { return nil, writeFile(a) })
	case wire.OpRead:
		_, err = with(request, func(a wire.ReadArgs) (any, error) { return nil, s.readFile(request.ID, a) })
	case wire.OpGlob:
		result, err = with(request, func(a wire.GlobArgs) (any, error) {
			names, err := filepath.Glob(a.Pattern)
			return wire.GlobResult{Names: names}, err
		})
	case wire.OpPlant:
		result, err = with(request, func(a wire.PlantArgs) (any, error) { return plant(a) })
	case wire.OpMemory:
		_, err = with(request, func(a wire.MemoryArgs) (any, error) {
			return nil, readPhysical(a, s.output(request.ID, "data"))
		})
	case wire.OpCrash:
		_, err = with(request, func(a wire.CrashArgs) (any, error) {
			after = func() error { return crash(a.CPU) }
			return nil, nil
		})
	case wire.OpReboot:
		_, err = with(request, func(a wire.RebootArgs) (any, error) {
			after, err = reboot(a.Mode)
			return nil, err
		})
	default:
		err = fmt.Errorf("unknown request %q", request.Op)
	}
	return result, after, err
}

func with[A any](request wire.Request, do func(A) (any, error)) (any, error) {
	var args A
	if err := json.Unmarshal(request.Args, &args); err != nil {
		return nil, fmt.Errorf("arguments of %s: %w", request.Op, err)
	}
	return do(args)
}

// output sends what is written to it as pieces of a stream.
func (s *server) output(id uint64, stream string) io.Writer {
	return &outputWriter{s, id, stream}
}

type outputWriter struct {
	s      *server
	id     uint64
	stream string
}

func (w *outputWriter) Write(b []byte) (int, error) {
	for n := 0; n < len(b); {
		piece := b[n:min(n+wire.Chunk, len(b))]
		err := w.s.out.Write(wire.Reply{Type: wire.TypeOutput, ID: w.id, Stream: w.stream, Data: piece})
		if err != nil {
			return n, err
		}
		n += len(piece)
	}
	return len(b), nil
}
