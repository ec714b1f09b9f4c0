package store_test

import (
	"bytes"
	"crypto/md5"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gokexec/gokexec/pkg/advice"
	"github.com/gokexec/gokexec/pkg/remote"
	"github.com/gokexec/gokexec/pkg/store"
)

// webServer takes PUT, and keeps what is whole.
type webServer struct {
	*httptest.Server
	mu      sync.Mutex
	objects map[string][]byte
}

func (w *webServer) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	name := strings.TrimPrefix(r.URL.Path, "/")
	switch r.Method {
	case http.MethodPut:
		b, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		if sum := md5.Sum(b); r.Header.Get("Content-MD5") != "" && r.Header.Get("Content-MD5") != base64.StdEncoding.EncodeToString(sum[:]) {
			http.Error(rw, "BadDigest", http.StatusBadRequest)
			return
		}
		w.mu.Lock()
		defer w.mu.Unlock()
		if _, there := w.objects[name]; there && r.Header.Get("If-None-Match") == "*" {
			rw.WriteHeader(http.StatusPreconditionFailed)
			return
		}
		w.objects[name] = b
		rw.WriteHeader(http.StatusCreated)
	case http.MethodDelete:
		w.mu.Lock()
		defer w.mu.Unlock()
		delete(w.objects, name)
		rw.WriteHeader(http.StatusNoContent)
	default:
		b, err := w.read(name)
		if err != nil {
			http.Error(rw, "there is none", http.StatusNotFound)
			return
		}
		rw.Header().Set("Last-Modified", time.Now().UTC().Format(http.TimeFormat))
		http.ServeContent(rw, r, "", time.Now(), bytes.NewReader(b))
	}
}

func (w *webServer) read(name string) ([]byte, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	b, ok := w.objects[name]
	if !ok {
		return nil, fs.ErrNotExist
	}
	return b, nil
}

// caFile is a file with the certificate of a test server.
func caFile(t testing.TB, s *httptest.Server) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "ca.pem")
	b := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})
	if err := os.WriteFile(name, b, 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

func startWeb(t testing.TB) (*webServer, remote.Settings) {
	w := &webServer{objects: map[string][]byte{}}
	w.Server = httptest.NewTLSServer(w)
	t.Cleanup(w.Close)
	return w, remote.Settings{Location: w.URL + "/dumps", CAFile: caFile(t, w.Server)}
}

func TestWeb(t *testing.T) {
	server, s := startWeb(t)
	testStore(t, open(t, s), func(name string) ([]byte, error) { return server.read("dumps/" + name) }, false)
}

// A mint service is asked for each object, and what is sent is what was asked for.
func TestMint(t *testing.T) {
	bucket := &webServer{objects: map[string][]byte{}}
	plain := httptest.NewServer(bucket)
	defer plain.Close()
	elsewhere := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPut {
			http.Redirect(w, r, "/page", http.StatusFound)
		}
	}))
	defer elsewhere.Close()
	var asked atomic.Int32
	service := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var ask struct {
			Bucket, Object, SHA256, MD5 string
			Bytes                       int64
			Crash                       map[string]string
		}
		if err := json.NewDecoder(r.Body).Decode(&ask); err != nil || ask.Bucket != "bucket" || ask.SHA256 == "" || ask.MD5 == "" || ask.Crash["machine"] != "m" {
			http.Error(w, fmt.Sprint(err, ask), http.StatusBadRequest)
			return
		}
		if strings.HasSuffix(ask.Object, "forbidden") {
			http.Error(w, "enough of this crash are stored", http.StatusForbidden)
			return
		}
		if strings.HasSuffix(ask.Object, "elsewhere") {
			fmt.Fprintf(w, `{"url":"%s"}`, elsewhere.URL)
			return
		}
		if asked.Add(1)%3 == 0 {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		fmt.Fprintf(w, `{"url":"%s/%s?signature=x","headers":{"X-Test":"1"}}`, plain.URL, ask.Object)
	}))
	defer service.Close()
	s := remote.Settings{Location: "s3://bucket/p", Credentials: "mint:" + service.URL, PartBytes: remote.MinPart}
	st, err := store.Open(t.Context(), s, store.Options{About: map[string]string{"machine": "m"}})
	if err != nil {
		t.Fatal(err)
	}
	for _, size := range []int{0, 1000, remote.MinPart, 2*remote.MinPart + 5} {
		data, sum := content(size, 3)
		stored, err := st.Put(t.Context(), "file", store.FileSource(bytes.NewReader(data), int64(size), sum))
		if got, _ := bucket.read("p/file"); err != nil || !bytes.Equal(got, data) || stored.SHA256 != sum || !stored.Confirmed || stored.Pieces != 0 {
			t.Errorf("%d: %+v, %v", size, stored, err)
		}
		name := fmt.Sprint("stream", size)
		stored, err = st.Put(t.Context(), name, store.Source{Reader: bytes.NewReader(data)})
		var got []byte
		if stored.Pieces == 0 {
			got, _ = bucket.read("p/" + name)
		}
		for n := range stored.Pieces {
			piece, _ := bucket.read(fmt.Sprintf("p/%s.%04d", name, n+1))
			got = append(got, piece...)
		}
		if err != nil || !bytes.Equal(got, data) || stored.SHA256 != sum || (stored.Pieces > 0) != (size > remote.MinPart) {
			t.Errorf("stream of %d: %+v, %v; %d bytes", size, stored, err, len(got))
		}
	}
	_, err = st.Put(t.Context(), "forbidden", store.Source{Reader: strings.NewReader("x")})
	if err == nil || !strings.Contains(err.Error(), "enough of this crash") {
		t.Error(err)
	}
	// A page that answers GET is no store.
	_, err = st.Put(t.Context(), "elsewhere", store.Source{Reader: strings.NewReader("x")})
	if err == nil || !strings.Contains(err.Error(), "302 Found") {
		t.Error(err)
	}
	if _, err := st.PutNew(t.Context(), "claim", nil); err != store.ErrUnconditional {
		t.Error(err)
	}
}

// Servers that fail and hang: each ends in time, with a line that says what it was.
func TestBadServers(t *testing.T) {
	good, s := startWeb(t)
	data, sum := content(1<<20, 1)
	src := func() store.Source { return store.FileSource(bytes.NewReader(data), int64(len(data)), sum) }
	hang := make(chan struct{})
	t.Cleanup(func() { close(hang) })
	var calls atomic.Int32
	handler := func(h http.HandlerFunc) func(*remote.Settings) {
		return func(s *remote.Settings) {
			server := httptest.NewTLSServer(h)
			t.Cleanup(server.CloseClientConnections)
			s.Location, s.CAFile = server.URL, caFile(t, server)
		}
	}
	listener := func(serve func(net.Conn)) func(*remote.Settings) {
		return func(s *remote.Settings) {
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
			s.Location = "https://" + l.Addr().String()
		}
	}
	for name, c := range map[string]struct {
		change func(*remote.Settings)
		want   string // "" is success
		hint   string
	}{
		"503 for a while, with Retry-After": {handler(func(w http.ResponseWriter, r *http.Request) {
			if r.Method == http.MethodPut && calls.Add(1) < 3 {
				w.Header().Set("Retry-After", "1")
				w.WriteHeader(http.StatusServiceUnavailable)
				return
			}
			good.ServeHTTP(w, r)
		}), "", ""},
		"503 for ever":    {handler(func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) }), "503 Service Unavailable", ""},
		"resets":          {handler(func(w http.ResponseWriter, r *http.Request) { panic(http.ErrAbortHandler) }), "closed the connection", ""},
		"never answers":   {handler(func(w http.ResponseWriter, r *http.Request) { _, _ = io.Copy(io.Discard, r.Body); <-hang }), "has taken and answered nothing for 1s", ""},
		"never reads":     {handler(func(w http.ResponseWriter, r *http.Request) { <-hang }), "has taken and answered nothing for 1s", ""},
		"no TLS, silence": {listener(func(c net.Conn) { <-hang; c.Close() }), "has taken and answered nothing for 1s", ""},
		"no TLS":          {listener(func(c net.Conn) { _, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\n\r\n"); c.Close() }), "does not speak TLS", ""},
		"full":            {handler(func(w http.ResponseWriter, r *http.Request) { http.Error(w, "no room", http.StatusInsufficientStorage) }), "507 Insufficient Storage: no room", ""},
		"denied":          {handler(func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(http.StatusForbidden) }), "403 Forbidden", "ClientCert="},
		"redirects":       {handler(func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/elsewhere", http.StatusFound) }), "302 Found", "/elsewhere"},
		"other authority": {func(s *remote.Settings) { s.CAFile = otherCA(t) }, "authority that is not trusted", "CAFile="},
		"wants a client's": {func(s *remote.Settings) {
			server := httptest.NewUnstartedServer(good)
			server.TLS = &tls.Config{ClientAuth: tls.RequireAnyClientCert}
			server.StartTLS()
			t.Cleanup(server.Close)
			s.Location, s.CAFile = server.URL, caFile(t, server)
		}, "certificate", "ClientCert="},
		"another name": {func(s *remote.Settings) {
			s.Location = strings.Replace(s.Location, "127.0.0.1", "other.invalid", 1)
			s.Addresses = map[string][]string{"other.invalid": {"127.0.0.1"}}
		}, "its certificate is for other names", ""},
		"no such name": {func(s *remote.Settings) { s.Location = "https://none.invalid/x" }, "none.invalid", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := s
			s.ConnectTimeoutSeconds, s.StallTimeoutSeconds, s.PatienceSeconds = 3, 1, 2
			c.change(&s)
			st, err := store.Open(t.Context(), s, store.Options{})
			if err != nil {
				t.Fatal(err)
			}
			defer st.Close()
			begin := time.Now()
			src := src()
			src.SHA256 = "" // it is not asked for before
			if name == "503 for a while, with Retry-After" {
				s.PatienceSeconds = 60
				st, _ = store.Open(t.Context(), s, store.Options{})
			}
			_, err = st.Put(t.Context(), "x", src)
			took := time.Since(begin)
			if c.want == "" {
				if err != nil || took < 2*time.Second {
					t.Errorf("%v after %v; two waits of a second were asked for", err, took)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "\n") {
				t.Errorf("%v; want %q", err, c.want)
			}
			if c.hint != "" && !strings.Contains(advice.Hint(err), c.hint) {
				t.Errorf("hint %q; want %q", advice.Hint(err), c.hint)
			}
			if took > 30*time.Second {
				t.Errorf("it took %v", took)
			}
			t.Logf("%v (%v)", err, took.Round(time.Millisecond))
		})
	}
}

// otherCA is an authority that nobody's certificate is from.
func otherCA(t *testing.T) string {
	block, _ := pem.Decode([]byte(unrelatedCA))
	if _, err := x509.ParseCertificate(block.Bytes); err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(t.TempDir(), "other.pem")
	if err := os.WriteFile(name, []byte(unrelatedCA), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

// unrelatedCA is a certificate, of which nobody has the key.
const unrelatedCA = `-----BEGIN CERTIFICATE-----
MIIBgDCCASWgAwIBAgIUejHVKG7J7fYhX9EtYeHrtEmWkyIwCgYIKoZIzj0EAwIw
FDESMBAGA1UEAwwJdW5yZWxhdGVkMCAXDTI2MTEzMDAxNTUzN1oYDzIxMjYxMTA2
MDE1NTM3WjAUMRIwEAYDVQQDDAl1bnJlbGF0ZWQwWTATBgcqhkjOPQIBBggqhkjO
PQMBBwNCAATKJN6FIGBaDa/Ee5SFn2LkxJpZ4L4C2cGW4+/RIF4u8xrFUgx4TsAI
gBlHXj8mxx0qRwBEIJe7Q55X/x3EeN1ao1MwUTAdBgNVHQ4EFgQUkfgxNcM+U/CE
fArvvD2Mv49LJFUwHwYDVR0jBBgwFoAUkfgxNcM+U/CEfArvvD2Mv49LJFUwDwYD
VR0TAQH/BAUwAwEB/zAKBggqhkjOPQQDAgNJADBGAiEAvsxDb7u6w1VwIbb8qXqi
iiU/V/w2SX9WK5f3ZErspTsCIQCT/dVQBQtM0WLwIDALN+Z+n0Xyblb/I95uXXKF
PZy04A==
-----END CERTIFICATE-----`
