package capture

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/gokexec/gokexec/pkg/advice"
	"github.com/gokexec/gokexec/pkg/kdumpfile"
	"github.com/gokexec/gokexec/pkg/remote"
)

// fakeRemote is gokexec-remote with a store in memory.
type fakeRemote struct {
	mu      sync.Mutex
	starts  int
	job     remote.Job
	objects map[string][]byte
	order   []string
	refuse  error                   // the store can't be used
	fail    func(name string) error // an object can't be stored
	after   int64                   // bytes of it that are taken before
}

func (f *fakeRemote) start(argv, env []string, _ io.Writer) (*Helper, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.starts++
	if len(argv) != 2 || argv[0] != RemoteProgramPath || argv[1] != "serve" {
		return nil, errors.New("not gokexec-remote serve")
	}
	for _, v := range env {
		if text, ok := strings.CutPrefix(v, remote.JobVariable+"="); ok {
			if err := json.Unmarshal([]byte(text), &f.job); err != nil {
				return nil, err
			}
		}
	}
	in, inW := io.Pipe()
	outR, out := io.Pipe()
	h := &Helper{In: inW, Out: outR, ended: make(chan struct{})}
	h.Kill = func() { in.CloseWithError(os.ErrClosed); out.Close() }
	go func() {
		defer close(h.ended)
		defer out.Close()
		defer in.CloseWithError(os.ErrClosed)
		r := remote.NewReceiver(in, out)
		if f.refuse != nil {
			_ = r.Refuse(f.refuse, "see to it")
			return
		}
		_ = r.Serve(f.put, advice.Hint)
	}()
	return h, nil
}

func (f *fakeRemote) put(o remote.Object, r io.Reader) (remote.Stored, error) {
	if f.fail != nil {
		if err := f.fail(o.Name); err != nil {
			_, _ = io.CopyN(io.Discard, r, f.after)
			return remote.Stored{}, err
		}
	}
	b, err := io.ReadAll(r)
	name := o.Name
	if errors.Is(err, remote.ErrAbandoned) {
		name, err = name+".incomplete", nil
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if err == nil {
		f.objects[name] = b
		f.order = append(f.order, name)
	}
	return remote.Stored{Name: name, Bytes: int64(len(b))}, err
}

func storeTarget(t *testing.T) Target {
	t.Helper()
	target, err := ParseTarget("s3://crashes/a")
	if err != nil {
		t.Fatal(err)
	}
	return target
}

// A store gets the log first, then the memory as a stream, and the result.
func TestStoreTarget(t *testing.T) {
	s := newFakeSystem(t)
	s.file(t, VMCorePath, string(testVMCore(t)))
	s.remote = &fakeRemote{objects: map[string][]byte{}}
	target := storeTarget(t)
	target.Store.Machine = "m"
	res, err := Run(context.Background(), Config{Targets: []Target{target}, DumpLevel: "0"}, Options{System: s})
	if err != nil || res.Outcome != Complete || res.Target != "s3://crashes/a" || res.Location != "crashes/m-"+testDirName {
		t.Fatalf("%+v, %v", res, err)
	}
	if got := strings.Join(s.remote.order, " "); got != "dmesg.txt result.json vmcore result.json" {
		t.Errorf("stored %s", got)
	}
	if s.remote.job.Crash.Machine != "m" || s.remote.job.Settings.PatienceSeconds >= s.remote.job.Settings.StallTimeoutSeconds*2 {
		t.Errorf("%+v", s.remote.job)
	}
	if b := s.remote.objects["vmcore"]; !bytes.HasPrefix(b, []byte("makedumpfile")) || int64(len(b)) != res.VMCore.SavedBytes {
		t.Errorf("%d bytes, which begin with %.20q; want a flattened file of %d", len(b), b, res.VMCore.SavedBytes)
	}
	if _, err := kdumpfile.Open(bytes.NewReader(s.remote.objects["vmcore"])); err != nil {
		t.Errorf("what is stored: %v", err)
	}
	var stored Result
	if err := json.Unmarshal(s.remote.objects["result.json"], &stored); err != nil || stored.Outcome != Complete {
		t.Errorf("%+v, %v", stored, err)
	}
}

// Hooks end all other processes of a capture kernel: the result is stored nevertheless.
func TestStoreTargetAfterHook(t *testing.T) {
	s := newFakeSystem(t)
	s.file(t, VMCorePath, string(testVMCore(t)))
	s.remote = &fakeRemote{objects: map[string][]byte{}}
	o := &opening{sys: s, cfg: Config{}.withDefaults(), target: storeTarget(t), touch: func() {}, say: t.Logf, standing: &standing{}}
	k, err := openStore(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	if err := putBytes(k, "first", nil); err != nil {
		t.Fatal(err)
	}
	sink := k.(*storeSink)
	sink.helper.Kill()
	if !sink.helper.Wait(childGrace) {
		t.Fatal("it does not end")
	}
	if err := putBytes(k, "second", nil); err != nil || s.remote.starts != 2 {
		t.Errorf("%v, %d starts", err, s.remote.starts)
	}
	if err := k.close(); err != nil || !sink.helper.Ended() {
		t.Error(err)
	}
}

// A store that can't be used, or fails in the middle: the next target has all of it.
func TestStoreTargetFails(t *testing.T) {
	noRoom := &advice.Problem{What: "the server has no room", Hint: "make some"}
	for name, f := range map[string]*fakeRemote{
		"refused":      {refuse: errors.New("the credentials are refused")},
		"log fails":    {fail: func(name string) error { return noRoom }},
		"memory fails": {fail: func(name string) error { return map[string]error{"vmcore": noRoom}[name] }, after: 100},
	} {
		t.Run(name, func(t *testing.T) {
			s := newFakeSystem(t)
			s.file(t, VMCorePath, string(testVMCore(t)))
			f.objects = map[string][]byte{}
			s.remote = f
			if err := os.Mkdir(s.path("/crash"), 0o755); err != nil {
				t.Fatal(err)
			}
			local := Target{Type: TargetDirectory, Path: "/crash"}
			res, err := Run(context.Background(), Config{Targets: []Target{storeTarget(t), local}}, Options{System: s})
			if err != nil || res.Outcome != Complete || res.Target != "dir:/crash" {
				t.Fatalf("%+v, %v", res, err)
			}
			if said := strings.Join(res.Errors, "; "); !strings.Contains(said, "refused (see to it)") && !strings.Contains(said, "no room (make some)") {
				t.Errorf("errors: %s", said)
			}
		})
	}
}

// What a capture kernel can't have is said before.
func TestStoreTargetLost(t *testing.T) {
	for text, want := range map[string]string{
		"s3://ab/x":        "3 to 63",
		"ssh://host/x":     "names no user",
		"https://u@host/x": "client certificate",
		"ssh:x":            "want s3://",
	} {
		if _, err := ParseTarget(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v; want %q", text, err, want)
		}
	}
	for _, text := range []string{"s3://bucket", "ssh://u@host:22/~/x", "https://host:8443/x"} {
		target, err := ParseTarget(text)
		if err != nil || target.String() != text || !target.Remote() {
			t.Errorf("%s: %s, %v", text, target, err)
		}
		cfg := Config{Targets: []Target{target}}
		if err := cfg.ValidateInit(); err == nil || !strings.Contains(err.Error(), "is not recorded") {
			t.Errorf("%s: %v", text, err)
		}
	}
}
