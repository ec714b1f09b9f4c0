package remote_test

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/gokexec/gokexec/pkg/advice"
	"github.com/gokexec/gokexec/pkg/remote"
)

// pair joins a sender with a receiver that puts.
func pair(t *testing.T, put func(remote.Object, io.Reader) (remote.Stored, error)) (*remote.Sender, io.Closer, chan error) {
	t.Helper()
	in, to := io.Pipe()
	from, out := io.Pipe()
	served := make(chan error, 1)
	go func() {
		err := remote.NewReceiver(in, out).Serve(put, advice.Hint)
		in.Close()
		out.Close()
		served <- err
	}()
	s := remote.NewSender(to, from)
	if err := s.Ready(); err != nil {
		t.Fatal(err)
	}
	return s, to, served
}

// A store that fails in the middle stops the sender at once, and the next object goes on.
func TestStoreFails(t *testing.T) {
	s, end, served := pair(t, func(o remote.Object, r io.Reader) (remote.Stored, error) {
		if o.Name == "bad" {
			_, _ = io.CopyN(io.Discard, r, 100)
			return remote.Stored{}, &advice.Problem{What: "no room", Hint: "make some"}
		}
		n, err := io.Copy(io.Discard, r)
		return remote.Stored{Name: o.Name, Bytes: n}, err
	})
	w, err := s.Create(remote.Object{Name: "bad"})
	if err != nil {
		t.Fatal(err)
	}
	for range 1000 {
		if _, err = w.Write(make([]byte, 100000)); err != nil {
			break
		}
	}
	if err == nil || err.Error() != "bad: no room" || advice.Hint(err) != "make some" {
		t.Errorf("%v, hint %q", err, advice.Hint(err))
	}
	if w.Size() > 50<<20 {
		t.Errorf("%d bytes were handed over", w.Size())
	}
	if _, err := w.Abandon(err); err == nil {
		t.Error("what failed is stored")
	}
	if stored, err := s.Put(remote.Object{Name: "good"}, make([]byte, 1<<20)); err != nil || stored.Bytes != 1<<20 {
		t.Errorf("%+v, %v", stored, err)
	}
	end.Close()
	if err := <-served; err != nil {
		t.Error(err)
	}
}

// The other process ends.
func TestReceiverDies(t *testing.T) {
	in, to := io.Pipe()
	from, out := io.Pipe()
	s := remote.NewSender(to, from)
	go func() {
		_, _ = io.CopyN(io.Discard, in, 1000)
		in.CloseWithError(io.ErrClosedPipe)
		out.Close()
	}()
	w, err := s.Create(remote.Object{Name: "x"})
	if err == nil {
		_, err = w.Write(make([]byte, 1<<20))
	}
	if err == nil || !strings.Contains(err.Error(), "gokexec-remote has ended") {
		t.Error(err)
	}
	if _, err := w.Commit(); err == nil {
		t.Error("it is stored")
	}
}

// A stream that ends anywhere never ends an object, and no bytes make a receiver do otherwise.
func FuzzReceiver(f *testing.F) {
	var good bytes.Buffer
	from, out := io.Pipe()
	s := remote.NewSender(&good, from)
	go func() { _, _ = io.WriteString(out, "{\"ready\":true}\n{\"stored\":{\"name\":\"x\"}}\n") }()
	if err := s.Ready(); err != nil {
		f.Fatal(err)
	}
	if _, err := s.Put(remote.Object{Name: "a/b"}, []byte("contents")); err != nil {
		f.Fatal(err)
	}
	f.Add(good.Bytes())
	f.Add(good.Bytes()[:good.Len()-1])
	f.Add([]byte("B\x00\x00\x00\x0c{\"name\":\"x\"}A\x00\x00\x00\x03why"))
	f.Fuzz(func(t *testing.T, b []byte) {
		whole := 0
		_ = remote.NewReceiver(bytes.NewReader(b), io.Discard).Serve(func(o remote.Object, r io.Reader) (remote.Stored, error) {
			if strings.Contains(o.Name, "..") || strings.HasPrefix(o.Name, "/") {
				t.Fatalf("name %q", o.Name)
			}
			_, err := io.Copy(io.Discard, r)
			if err == nil {
				whole++
			} else if !errors.Is(err, remote.ErrAbandoned) {
				t.Fatal(err)
			}
			return remote.Stored{}, err
		}, func(error) string { return "" })
		if ends := bytes.Count(b, []byte("E\x00\x00\x00\x00")); whole > ends {
			t.Fatalf("%d whole objects; %d ends", whole, ends)
		}
	})
}
