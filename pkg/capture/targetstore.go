package capture

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/gokexec/gokexec/pkg/advice"
	"github.com/gokexec/gokexec/pkg/remote"
)

// The stores: each is a kind of target.
const (
	TargetS3    TargetType = "s3"
	TargetSSH   TargetType = "ssh"
	TargetHTTPS TargetType = "https"
)

// RemoteProgramPath is where the capture kernel has gokexec-remote. The init is never what speaks TLS or SSH.
const RemoteProgramPath = "/bin/" + remote.ProgramName

func s3Kind() targetKind    { return storeKind(TargetS3, "s3://BUCKET[/PREFIX]") }
func sshKind() targetKind   { return storeKind(TargetSSH, "ssh://USER@HOST[:PORT]/PATH") }
func httpsKind() targetKind { return storeKind(TargetHTTPS, "https://HOST[:PORT][/PATH]") }

// storeKind is a kind of target of which gokexec-remote is the other half. Its text is the location, of which the prefix
// is the first part.
func storeKind(name TargetType, usage string) targetKind {
	prefix := string(name)
	return targetKind{
		name: name, prefix: prefix, usage: usage, place: OverNetwork,
		parse: func(rest string) (Target, error) {
			l, err := remote.ParseLocation(prefix + ":" + rest)
			if err != nil {
				return Target{}, err
			}
			return Target{Store: &remote.Settings{Location: l.String()}}, nil
		},
		text: func(t Target) string {
			if t.Store == nil {
				return ""
			}
			return strings.TrimPrefix(t.Store.Location, prefix+":")
		},
		own:      func(t Target) Target { return Target{Type: t.Type, Store: t.Store, Network: t.Network} },
		fields:   "a store and a network",
		validate: func(t Target) error { return validStore(t, prefix) },
		lost:     lostStore,
		open:     openStore,
		remote:   &remoteKind{hosts: storeHosts, try: tryStore},
	}
}

// validStore checks what can be known: the settings may not be complete yet, but for those of a capture kernel.
func validStore(t Target, prefix string) error {
	if t.Store == nil {
		return errors.New("it names no store")
	}
	l, err := remote.ParseLocation(t.Store.Location)
	if err != nil {
		return err
	}
	if string(l.Kind) != prefix {
		return fmt.Errorf("location %s of a target of type %s", t.Store.Location, prefix)
	}
	return nil
}

// lostStore says why a capture kernel can't reach the store.
func lostStore(t Target) string {
	if why := unrecorded(t); why != "" {
		return why
	}
	if err := t.Store.Validate(); err != nil {
		return err.Error()
	}
	switch c := t.Store.Credentials; {
	case t.Type == TargetS3 && (c == "" || c == remote.FromEnvironment || c == remote.FromWebIdentity):
		return "a capture kernel has no environment with credentials: they can be from imds, file:PATH or mint:URL"
	case t.Type == TargetSSH && len(t.Store.HostKeys) == 0:
		return "the keys of the server are not recorded"
	}
	return ""
}

// storeHosts are those that gokexec-remote connects to.
func storeHosts(t Target) []string {
	hosts, err := t.Store.Hosts()
	if err != nil {
		return nil
	}
	return hosts
}

// job is what gokexec-remote is told.
func (o *opening) storeJob(ctx context.Context) (remote.Job, error) {
	dialer, err := o.network(ctx)
	if err != nil {
		return remote.Job{}, err
	}
	s := *o.target.Store
	if dialer.Record != nil {
		s.Addresses = map[string][]string{}
		for _, h := range dialer.Record.Hosts {
			for _, a := range h.Addresses {
				s.Addresses[h.Name] = append(s.Addresses[h.Name], a.String())
			}
		}
	}
	// It has to say what is wrong before the capture gives it up.
	limit := int(o.cfg.networkTimeout() / time.Second)
	s.ConnectTimeoutSeconds = max(min(limit/2, int(remote.DefaultConnectTimeout/time.Second)), 1)
	s.StallTimeoutSeconds = max(limit/2, 1)
	s.PatienceSeconds = max(limit*3/4, 1)
	job := remote.Job{Settings: s, Crash: &remote.Crash{Machine: s.Machine, Time: o.when}, Capture: o.target.Network != nil}
	return job, nil
}

// helper starts gokexec-remote.
func (o *opening) helper(job remote.Job, command string) (*Helper, error) {
	variable, err := job.Variable()
	if err != nil {
		return nil, err
	}
	messages := &hookOutput{say: func(line string) { o.say("%s", strings.TrimPrefix(line, remote.ProgramName+": ")) }}
	return o.sys.StartHelper([]string{o.remoteProgram(), command}, append(o.environment(), variable), messages)
}

// environment is that of gokexec-remote: on a running system its own, which may have credentials.
func (o *opening) environment() []string {
	if o.target.Network == nil {
		return os.Environ()
	}
	return []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/"}
}

func (o *opening) remoteProgram() string {
	if o.program != "" {
		return o.program
	}
	return RemoteProgramPath
}

// openStore begins a dump in a store.
func openStore(ctx context.Context, o *opening) (sink, error) {
	job, err := o.storeJob(ctx)
	if err != nil {
		return nil, err
	}
	s := &storeSink{o: o, job: job}
	o.standing.set(s.kill)
	if err := s.connect(); err != nil {
		o.standing.set(nil)
		return nil, errors.Join(err, s.kill())
	}
	return s, nil
}

// storeSink is a dump in a store: its files are objects.
type storeSink struct {
	o   *opening
	job remote.Job

	mu     sync.Mutex
	helper *Helper
	sender *remote.Sender
}

// connect starts gokexec-remote, unless it runs: the end of a hook is the end of all processes.
func (s *storeSink) connect() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.helper != nil && !s.helper.Ended() {
		return nil
	}
	h, err := s.o.helper(s.job, "serve")
	if err != nil {
		return fmt.Errorf("start %s: %w", remote.ProgramName, err)
	}
	s.helper, s.sender = h, remote.NewSender(h.In, h.Out)
	begin := time.Now()
	if err := s.sender.Ready(); err != nil {
		return hinted(err)
	}
	s.o.touch()
	s.o.say("network: %s is ready, after %v", s.o.target, time.Since(begin).Round(10*time.Millisecond))
	return nil
}

// hinted puts the hint into the line: a capture shows no other.
func hinted(err error) error {
	if hint := advice.Hint(err); hint != "" {
		return fmt.Errorf("%w (%s)", err, hint)
	}
	return err
}

func (s *storeSink) kill() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.helper != nil {
		s.helper.Kill()
	}
	return nil
}

func (s *storeSink) location() string { return s.job.Crash.Directory() }

func (s *storeSink) directory() string { return "" }

func (s *storeSink) put(name string, write func(io.Writer) error) (int64, error) {
	if err := s.connect(); err != nil {
		return 0, err
	}
	var b bytes.Buffer // it is small
	if err := write(&b); err != nil {
		return 0, err
	}
	if _, err := s.sender.Put(remote.Object{Name: name}, b.Bytes()); err != nil {
		return 0, hinted(err)
	}
	s.o.touch()
	return int64(b.Len()), nil
}

func (s *storeSink) note(data []byte) error { return putBytes(s, ResultName, data) }

func (s *storeSink) create(size int64) (dump, error) {
	if err := s.connect(); err != nil {
		return nil, err
	}
	sending, err := s.sender.Create(remote.Object{Name: VMCoreName, Estimate: size})
	if err != nil {
		return nil, hinted(err)
	}
	return &storeDump{sending}, nil
}

// close lets gokexec-remote end.
func (s *storeSink) close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.o.standing.set(nil)
	err := s.helper.In.Close()
	if !s.helper.Wait(childGrace) {
		s.helper.Kill()
	}
	return err
}

// storeDump is the memory on its way.
type storeDump struct{ *remote.Sending }

func (d *storeDump) Write(p []byte) (int, error) {
	n, err := d.Sending.Write(p)
	return n, hinted(err)
}

func (d *storeDump) size() int64 { return d.Size() }

func (d *storeDump) commit() error {
	_, err := d.Commit()
	return hinted(err)
}

func (d *storeDump) abandon(cause error) error {
	_, err := d.Abandon(cause)
	return hinted(err)
}

// tryStore has gokexec-remote store a small object, read it back, and delete it.
func tryStore(ctx context.Context, o *opening) error {
	job, err := o.storeJob(ctx)
	if err != nil {
		return err
	}
	job.Crash, job.Capture = nil, false
	variable, err := job.Variable()
	if err != nil {
		return err
	}
	said := &remote.Messages{}
	err = o.sys.RunChild(Child{Path: o.remoteProgram(), Args: []string{"try"}, Env: append(o.environment(), variable), Limit: 2 * o.cfg.networkTimeout(), Output: said})
	message, hint := said.Last()
	if err == nil || message == "" {
		return err
	}
	return hinted(&advice.Problem{What: printable([]byte(message)), Hint: printable([]byte(hint))})
}
