package store

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gokexec/gokexec/pkg/remote"
)

// newTransport makes the transport of S3 and HTTPS: HTTP/1.1, the configured authorities and certificates, and
// connections that can't hang.
func newTransport(s remote.Settings, d *dialer) (hearing, error) {
	conf, err := TLSConfig(s)
	if err != nil {
		return hearing{}, err
	}
	asked := &atomic.Bool{}
	if s.ClientCert == "" {
		conf.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			asked.Store(true)
			return &tls.Certificate{}, nil
		}
	}
	return hearing{pulse: d.pulse, asked: asked, Transport: &http.Transport{
		Proxy: http.ProxyFromEnvironment, DialContext: d.DialContext, TLSClientConfig: conf,
		TLSHandshakeTimeout: s.ConnectTimeout(), IdleConnTimeout: 90 * time.Second, ExpectContinueTimeout: time.Second,
		DisableCompression: true, MaxIdleConnsPerHost: 4, WriteBufferSize: 64 << 10, ReadBufferSize: 4 << 10,
		TLSNextProto: map[string]func(string, *tls.Conn) http.RoundTripper{},
	}}, nil
}

// TLSConfig reads the files of certificates.
func TLSConfig(s remote.Settings) (*tls.Config, error) {
	conf := &tls.Config{MinVersion: tls.VersionTLS12}
	if s.CAFile != "" {
		pem, err := os.ReadFile(s.CAFile)
		if err != nil {
			return nil, fmt.Errorf("certificates of authorities: %w", err)
		}
		conf.RootCAs = x509.NewCertPool()
		if !conf.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("%s has no certificate of an authority, in PEM", s.CAFile)
		}
	}
	if s.ClientCert != "" {
		cert, err := tls.LoadX509KeyPair(s.ClientCert, s.ClientKey)
		if err != nil {
			return nil, fmt.Errorf("client certificate %s: %w", s.ClientCert, err)
		}
		conf.Certificates = []tls.Certificate{cert}
	}
	return conf, nil
}

// heard is what a server said beside its answer.
type heard struct {
	status     int
	retryAfter time.Duration
	date       time.Time // zero if it is from a cache, or not there
}

// after adds to an error when the server wants to be asked again, if it has said so.
func (h *heard) after(err error) error {
	if err == nil || h.retryAfter == 0 {
		return err
	}
	return after{err, h.retryAfter}
}

type heardKey struct{}

// listen has a context whose request tells what was heard.
func listen(ctx context.Context) (context.Context, *heard) {
	h := &heard{}
	return context.WithValue(ctx, heardKey{}, h), h
}

// hearing counts requests for the pulse of their connections until their answers are read, and notes what is heard.
type hearing struct {
	*http.Transport
	*pulse
	asked *atomic.Bool // a server has asked for a certificate, and there is none
}

// uncertified is the end of a connection to a server that has asked for a certificate in vain. Its alert may come later
// than the error of writing to it (RFC 8446, 4.4.2.4).
type uncertified struct{ error }

func (u uncertified) Unwrap() error { return u.error }

// RoundTrip is for http.RoundTripper.
func (c hearing) RoundTrip(r *http.Request) (*http.Response, error) {
	answered := sync.OnceFunc(c.request())
	resp, err := c.Transport.RoundTrip(r)
	if err != nil {
		answered()
		if c.asked.Load() && closed(err) {
			err = uncertified{err}
		}
		return nil, err
	}
	if h, ok := r.Context().Value(heardKey{}).(*heard); ok {
		*h = heard{status: resp.StatusCode, retryAfter: retryAfter(resp.Header, time.Now())}
		if resp.Header.Get("Age") == "" {
			h.date, _ = http.ParseTime(resp.Header.Get("Date"))
		}
	}
	resp.Body = hearingBody{resp.Body, answered}
	return resp, nil
}

type hearingBody struct {
	io.ReadCloser
	answered func()
}

func (b hearingBody) Close() error {
	defer b.answered()
	return b.ReadCloser.Close()
}

// retryAfter is what a server asks for (RFC 9110, 10.2.3); 0 for nothing.
func retryAfter(h http.Header, now time.Time) time.Duration {
	v := h.Get("Retry-After")
	if n, err := strconv.Atoi(v); err == nil && n > 0 {
		return time.Duration(min(n, int(maxRetryAfter/time.Second))) * time.Second
	}
	if t, err := http.ParseTime(v); err == nil && t.After(now) {
		return min(t.Sub(now), maxRetryAfter)
	}
	return 0
}
