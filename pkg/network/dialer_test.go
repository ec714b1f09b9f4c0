package network

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"
)

// listen serves each connection on this machine's loopback.
func listen(t *testing.T, serve func(net.Conn)) (host, port string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go serve(c)
		}
	}()
	host, port, _ = net.SplitHostPort(l.Addr().String())
	return host, port
}

// A host is reached by what was recorded, without a name server.
func TestDialRecorded(t *testing.T) {
	host, port := listen(t, func(c net.Conn) { _, _ = io.WriteString(c, "hello"); c.Close() })
	r := record(nicLink(2, "eth0"))
	// Of the first address nothing answers.
	r.Hosts = []Host{{Name: "dumps.invalid", Addresses: []netip.Addr{netip.MustParseAddr("127.0.0.2"), netip.MustParseAddr(host)}}}
	var said string
	d := &Dialer{Record: r, Timeout: 5 * time.Second, Say: func(f string, a ...any) { said = f }}
	c, err := d.DialContext(t.Context(), "tcp", net.JoinHostPort("dumps.invalid", port))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if b, err := io.ReadAll(c); string(b) != "hello" || err != nil {
		t.Errorf("read %q, %v", b, err)
	}
	if !strings.Contains(said, "connected") {
		t.Errorf("said %q", said)
	}
}

// Where the recorded address does not answer, the name server is asked.
func TestDialLookup(t *testing.T) {
	r := record(nicLink(2, "eth0"))
	r.Hosts = []Host{{Name: "dumps.invalid", Addresses: []netip.Addr{netip.MustParseAddr("127.0.0.2")}}}
	asked := false
	d := &Dialer{Record: r, Timeout: time.Second, Resolver: &net.Resolver{PreferGo: true, Dial: func(context.Context, string, string) (net.Conn, error) {
		asked = true
		return nil, errors.New("no server")
	}}}
	if _, err := d.DialContext(t.Context(), "tcp", "dumps.invalid:9"); err == nil || !strings.Contains(err.Error(), "127.0.0.2:9") {
		t.Errorf("error %v; want that of the recorded address", err)
	}
	if !asked {
		t.Error("no name server was asked")
	}
}

// A host that accepts and says nothing is given up in time, and one that takes data is not.
func TestDialSilent(t *testing.T) {
	host, port := listen(t, func(c net.Conn) {
		b := make([]byte, 1)
		for range 40 { // takes a request slowly, and answers at its end
			time.Sleep(10 * time.Millisecond)
			if _, err := c.Read(b); err != nil {
				break
			}
		}
		_, _ = c.Write([]byte("x"))
		_, _ = io.Copy(io.Discard, c)
	})
	d := &Dialer{Timeout: 200 * time.Millisecond}
	c, err := d.DialContext(t.Context(), "tcp", net.JoinHostPort(host, port))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	go func() {
		for range 40 {
			_, _ = c.Write([]byte("y"))
			time.Sleep(10 * time.Millisecond)
		}
	}()
	b := make([]byte, 1)
	if _, err := io.ReadFull(c, b); err != nil {
		t.Fatalf("an answer after a long request: %v", err)
	}
	begin := time.Now()
	if _, err := c.Read(b); !errors.Is(err, ErrSilent) || time.Since(begin) > 5*time.Second {
		t.Errorf("error %v after %v; want %v", err, time.Since(begin), ErrSilent)
	}
	var late net.Error
	if _, err := c.Read(b); !errors.As(err, &late) || !late.Timeout() {
		t.Errorf("error %v is no timeout", err)
	}
}
