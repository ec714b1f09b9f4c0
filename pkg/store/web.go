package store

import (
	"bytes"
	"context"
	"crypto/md5"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/gokexec/gokexec/pkg/advice"
	"github.com/gokexec/gokexec/pkg/remote"
)

// webStore is a server that takes PUT.
type webStore struct {
	Options
	settings remote.Settings
	at       remote.Location
	client   *http.Client
	pulse    *pulse
}

func openWeb(s remote.Settings, l remote.Location, opt Options) (Store, error) {
	trip, err := newTransport(s, newDialer(s))
	if err != nil {
		return nil, err
	}
	return newWebStore(s, l, opt, trip), nil
}

func newWebStore(s remote.Settings, l remote.Location, opt Options, trip hearing) *webStore {
	return &webStore{Options: opt, settings: s, at: l, client: newClient(trip), pulse: trip.pulse}
}

// newClient makes a client that follows no redirect: a PUT would become a GET.
func newClient(trip http.RoundTripper) *http.Client {
	return &http.Client{Transport: trip, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

func (w *webStore) Close() error {
	w.client.CloseIdleConnections()
	return nil
}

// url is that of an object.
func (w *webStore) url(name string) string {
	at := w.at
	at.Path = at.Object(name)
	return at.String()
}

// try does one request until it succeeds, within the patience of the settings.
func (w *webStore) try(ctx context.Context, what string, do func(context.Context) error) error {
	return w.retry(ctx, what, w.settings.Patience(), func(func()) error {
		ctx, heard := listen(ctx)
		return heard.after(do(ctx))
	})
}

// send does a request whose answer is not read.
func (w *webStore) send(r *http.Request) (http.Header, error) {
	resp, err := w.client.Do(r)
	if err != nil {
		return nil, networkProblem(r.URL.Host, err)
	}
	defer resp.Body.Close()
	said, _ := io.ReadAll(io.LimitReader(resp.Body, 1000))
	return resp.Header, webProblem(r, resp, said)
}

// webProblem makes one line of an answer that is not a success, and tells whether another attempt could end otherwise.
func webProblem(r *http.Request, resp *http.Response, said []byte) error {
	status := resp.StatusCode
	if status >= 200 && status < 300 {
		return nil
	}
	what := fmt.Sprintf("%s: %s %s: %s", r.URL.Host, r.Method, r.URL.Path, resp.Status)
	text := oneLine(strings.ToValidUTF8(string(said), "\ufffd"))
	if text != "" && !strings.HasPrefix(text, "<") {
		what += ": " + text
	}
	hint := ""
	switch {
	case status == http.StatusNotFound:
		return permanent{fmt.Errorf("%s: %w", what, notThere{errors.New(resp.Status)})}
	case status == http.StatusUnauthorized || status == http.StatusForbidden:
		hint = "ClientCert= and ClientKey= name a certificate if it asks for one"
	case status == http.StatusMethodNotAllowed:
		hint = "the server has to take PUT there"
	case status == http.StatusConflict:
		hint = "the directories may be missing: the server has to make those of a PUT"
	case status >= 300 && status < 400:
		hint = "redirects are not followed; name the place itself: " + resp.Header.Get("Location")
	case status == http.StatusRequestTimeout || status == http.StatusTooManyRequests || status >= 500 && status != http.StatusInsufficientStorage && status != http.StatusNotImplemented:
		return errors.New(what)
	}
	return permanent{&advice.Problem{What: what, Hint: hint, Err: errStatus(status)}}
}

// errStatus is a status of HTTP as an error.
type errStatus int

func (e errStatus) Error() string { return http.StatusText(int(e)) }

// Put implements Store. A file is sent again from its beginning if a connection breaks; a stream can't be.
func (w *webStore) Put(ctx context.Context, name string, src Source) (remote.Stored, error) {
	if src.File != nil && src.SHA256 != "" {
		there := remote.Stored{Name: name, Bytes: src.Size, SHA256: src.SHA256, Confirmed: true, Reused: src.Size}
		if w.confirm(ctx, name, there) {
			return there, nil
		}
	}
	if err := src.gate(ctx); err != nil {
		return remote.Stored{}, err
	}
	stored := remote.Stored{Name: name}
	put := func(ctx context.Context) error {
		body, size := src.Reader, int64(-1)
		if src.File != nil {
			body, size = io.NewSectionReader(src.File, 0, src.Size), src.Size
		}
		counter := newCounter(w.pulse.reader(body))
		r, err := http.NewRequestWithContext(ctx, http.MethodPut, w.url(name), counter)
		if err != nil {
			return permanent{err}
		}
		if r.ContentLength = size; size == 0 {
			r.Body = http.NoBody
		}
		r.Header.Set("Content-Type", "application/octet-stream")
		if digest, err := hex.DecodeString(src.SHA256); err == nil && src.SHA256 != "" {
			r.Header.Set("Repr-Digest", digestField(digest))
		}
		_, err = w.send(r)
		sent := counter.end()
		stored.Bytes, stored.SHA256 = sent.bytes, sent.sha256
		switch {
		case err == nil && size >= 0 && sent.bytes != size:
			err = fmt.Errorf("the server has answered after %d of %d bytes", sent.bytes, size)
		case err != nil && sent.err != nil:
			err = permanent{sent.err} // it is the source that broke off
		case err != nil && src.File == nil && sent.begun:
			err = permanent{fmt.Errorf("%w; a stream can't be sent again", err)}
		}
		return err
	}
	if err := w.try(ctx, name, put); err != nil {
		return remote.Stored{}, err
	}
	if src.SHA256 != "" && stored.SHA256 != src.SHA256 {
		return remote.Stored{}, fmt.Errorf("%s: %w", name, errChanged)
	}
	if src.Confirm {
		stored.Confirmed = w.confirm(ctx, name, stored)
	}
	return stored, nil
}

// confirm asks for the digest, or reads the object back.
func (w *webStore) confirm(ctx context.Context, name string, stored remote.Stored) bool {
	if info, err := w.Stat(ctx, name); err != nil || info.Size != stored.Bytes {
		return false
	} else if info.SHA256 != "" {
		return info.SHA256 == stored.SHA256
	}
	sum := sha256.New()
	err := w.try(ctx, name, func(ctx context.Context) error {
		sum.Reset()
		_, err := w.get(ctx, name, sum, stored.Bytes+1)
		return err
	})
	return err == nil && hex.EncodeToString(sum.Sum(nil)) == stored.SHA256
}

// counter counts what a request reads until it is over. What is read later is neither counted nor sent: net/http may go on
// reading after an answer that came early (http.RoundTripper).
type counter struct {
	io.Reader

	mu   sync.Mutex
	over bool
	sum  hash.Hash
	got  counted
}

// counted is what a request has read.
type counted struct {
	begun  bool // the source was asked
	bytes  int64
	sha256 string
	err    error // of the source; nil at its end
}

func newCounter(r io.Reader) *counter { return &counter{Reader: r, sum: sha256.New()} }

func (c *counter) Read(p []byte) (int, error) {
	c.mu.Lock()
	c.got.begun = true
	c.mu.Unlock()
	n, err := c.Reader.Read(p)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.over {
		return 0, io.ErrClosedPipe
	}
	c.sum.Write(p[:n])
	c.got.bytes += int64(n)
	if err != nil && err != io.EOF {
		c.got.err = err
	}
	return n, err
}

// end ends the count.
func (c *counter) end() counted {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.over = true
	c.got.sha256 = hex.EncodeToString(c.sum.Sum(nil))
	return c.got
}

// digestField is a SHA-256 as Repr-Digest has it (RFC 9530).
func digestField(sum []byte) string {
	return "sha-256=:" + base64.StdEncoding.EncodeToString(sum) + ":"
}

// PutNew implements Store: PUT with If-None-Match: * (RFC 9110, 13.1.2).
func (w *webStore) PutNew(ctx context.Context, name string, data []byte) (bool, error) {
	created := false
	err := w.try(ctx, name, func(ctx context.Context) error {
		r, err := http.NewRequestWithContext(ctx, http.MethodPut, w.url(name), bytes.NewReader(data))
		if err != nil {
			return permanent{err}
		}
		r.Header.Set("If-None-Match", "*")
		r.Header.Set("Content-Type", "application/json")
		sum := md5.Sum(data)
		r.Header.Set("Content-MD5", base64.StdEncoding.EncodeToString(sum[:]))
		_, err = w.send(r)
		var status errStatus
		if errors.As(err, &status) && status == http.StatusPreconditionFailed {
			var there bytes.Buffer
			if _, err := w.get(ctx, name, &there, int64(len(data))+1); err != nil {
				return err
			}
			created = bytes.Equal(there.Bytes(), data) // the answer may have been lost
			return nil
		}
		created = err == nil
		return err
	})
	return created, err
}

// Get implements Store.
func (w *webStore) Get(ctx context.Context, name string, limit int64) ([]byte, Info, error) {
	var b bytes.Buffer
	var info Info
	err := w.try(ctx, name, func(ctx context.Context) (err error) {
		b.Reset()
		info, err = w.get(ctx, name, &b, limit)
		return err
	})
	return b.Bytes(), info, err
}

func (w *webStore) get(ctx context.Context, name string, to io.Writer, limit int64) (Info, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, w.url(name), nil)
	if err != nil {
		return Info{}, permanent{err}
	}
	resp, err := w.client.Do(r)
	if err != nil {
		return Info{}, networkProblem(r.URL.Host, err)
	}
	defer resp.Body.Close()
	if err := webProblem(r, resp, nil); err != nil {
		return Info{}, err
	}
	if _, err := io.Copy(to, io.LimitReader(resp.Body, limit)); err != nil {
		return Info{}, networkProblem(r.URL.Host, err)
	}
	return webInfo(resp.Header, resp.ContentLength), nil
}

// Stat implements Store: HEAD.
func (w *webStore) Stat(ctx context.Context, name string) (Info, error) {
	var info Info
	err := w.try(ctx, name, func(ctx context.Context) error {
		r, err := http.NewRequestWithContext(ctx, http.MethodHead, w.url(name), nil)
		if err != nil {
			return permanent{err}
		}
		h, err := w.send(r)
		if err == nil {
			info = webInfo(h, -1)
		}
		return err
	})
	return info, err
}

// webInfo is what the header of an answer says of an object.
func webInfo(h http.Header, size int64) Info {
	info := Info{Size: size}
	if size < 0 {
		info.Size, _ = strconv.ParseInt(h.Get("Content-Length"), 10, 64)
	}
	if modified, err := http.ParseTime(h.Get("Last-Modified")); err == nil {
		info.Age = age(h, modified)
	}
	for field := range strings.SplitSeq(h.Get("Repr-Digest"), ",") {
		if text, ok := strings.CutPrefix(strings.TrimSpace(field), "sha-256=:"); ok {
			if sum, err := base64.StdEncoding.DecodeString(strings.TrimSuffix(text, ":")); err == nil {
				info.SHA256 = hex.EncodeToString(sum)
			}
		}
	}
	return info
}

// age is how long ago something was modified, by the clock of the server that says so, if it tells that.
func age(h http.Header, modified time.Time) time.Duration {
	if now, err := http.ParseTime(h.Get("Date")); err == nil {
		return now.Sub(modified)
	}
	return time.Since(modified)
}

// Delete implements Store.
func (w *webStore) Delete(ctx context.Context, name string) error {
	err := w.try(ctx, name, func(ctx context.Context) error {
		r, err := http.NewRequestWithContext(ctx, http.MethodDelete, w.url(name), nil)
		if err != nil {
			return permanent{err}
		}
		_, err = w.send(r)
		return err
	})
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}
