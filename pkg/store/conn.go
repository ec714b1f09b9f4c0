package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"sync/atomic"
	"time"

	"github.com/gokexec/gokexec/pkg/remote"
)

// pulse knows whether a silent connection is one that hangs: something is asked of the server, and what is sent is not
// waited for.
type pulse struct {
	busy    atomic.Int32 // requests that have not been answered
	waiting atomic.Int32 // of them, those that wait for what they are to send
}

func (p *pulse) due() bool { return p.busy.Load() > p.waiting.Load() }

// request counts a request until it is answered.
func (p *pulse) request() (answered func()) {
	p.busy.Add(1)
	return func() { p.busy.Add(-1) }
}

// reader counts as waiting while r is read.
func (p *pulse) reader(r io.Reader) io.Reader { return pulseReader{r, p} }

type pulseReader struct {
	io.Reader
	*pulse
}

func (r pulseReader) Read(b []byte) (int, error) {
	r.waiting.Add(1)
	defer r.waiting.Add(-1)
	return r.Reader.Read(b)
}

// dialer connects to servers, at addresses that are known beforehand or are looked up.
type dialer struct {
	*pulse
	connect, stall time.Duration
	addresses      map[string][]string
}

func newDialer(s remote.Settings) *dialer {
	return &dialer{&pulse{}, s.ConnectTimeout(), s.StallTimeout(), s.Addresses}
}

// DialContext is for http.Transport.
func (d *dialer) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	hosts := []string{host}
	if known := d.addresses[host]; len(known) > 0 && net.ParseIP(host) == nil {
		hosts = append(slices.Clone(known), host)
	}
	var errs []error
	for _, h := range hosts {
		conn, err := (&net.Dialer{Timeout: d.connect, KeepAlive: 15 * time.Second}).DialContext(ctx, network, net.JoinHostPort(h, port))
		if err == nil {
			return &stallConn{Conn: conn, pulse: d.pulse, stall: d.stall}, nil
		}
		errs = append(errs, err)
		if ctx.Err() != nil {
			break
		}
	}
	return nil, errors.Join(errs...)
}

// stallConn gives a connection up that neither takes nor gives anything for a while.
type stallConn struct {
	net.Conn
	*pulse
	stall time.Duration
	last  atomic.Int64 // when it last moved, in nanoseconds
}

// maxWrite is how much is written under one deadline, in bytes: what a slow network takes within it.
const maxWrite = 64 << 10

func (c *stallConn) moved() { c.last.Store(time.Now().UnixNano()) }

// stalled says that nothing has come. It is another error than that of the deadline, which net/http regards as its own.
type stalledError struct{ after time.Duration }

func (e stalledError) Error() string {
	return fmt.Sprintf("the server has taken and answered nothing for %v", e.after)
}

// Timeout is for net.Error.
func (stalledError) Timeout() bool { return true }

// Temporary is for net.Error.
func (stalledError) Temporary() bool { return true }

func (c *stallConn) Read(p []byte) (int, error) {
	since := time.Now()
	for {
		if err := c.SetReadDeadline(time.Now().Add(min(c.stall, time.Second))); err != nil {
			return 0, err
		}
		n, err := c.Conn.Read(p)
		if n > 0 {
			c.moved()
		}
		if n > 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
			return n, err
		}
		if !c.due() {
			since = time.Now()
			continue
		}
		if last := time.Unix(0, c.last.Load()); last.After(since) {
			since = last
		}
		if time.Since(since) >= c.stall {
			return 0, stalledError{c.stall}
		}
	}
}

func (c *stallConn) Write(p []byte) (int, error) {
	written := 0
	for len(p) > 0 {
		if err := c.SetWriteDeadline(time.Now().Add(c.stall)); err != nil {
			return written, err
		}
		n, err := c.Conn.Write(p[:min(len(p), maxWrite)])
		written, p = written+n, p[n:]
		if n > 0 {
			c.moved()
		}
		if errors.Is(err, os.ErrDeadlineExceeded) {
			err = stalledError{c.stall}
		}
		if err != nil {
			return written, err
		}
	}
	return written, nil
}
