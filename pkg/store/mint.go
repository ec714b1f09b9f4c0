package store

import (
	"bytes"
	"context"
	"crypto/md5"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"strings"

	"github.com/gokexec/gokexec/pkg/remote"
)

// maxMinted bounds the answer of a mint service, in bytes.
const maxMinted = 64 << 10

// mintStore stores by presigned requests that a service is asked for: so a machine needs no credentials, and the service
// decides what may be stored. It is sent a mintRequest by POST, and answers with a mintAnswer.
type mintStore struct {
	web     *webStore
	service string // its URL
}

// mintRequest is what is asked.
type mintRequest struct {
	Bucket string `json:"bucket"`
	Object string `json:"object"`
	// Bytes, MD5 (base64) and SHA256 (hexadecimal) are those of what will be sent.
	Bytes  int64  `json:"bytes"`
	MD5    string `json:"md5"`
	SHA256 string `json:"sha256"`
	// Crash is what is known of the crash: crash_id, fingerprint, build_id.
	Crash map[string]string `json:"crash,omitempty"`
}

// mintAnswer is a request that may be made once.
type mintAnswer struct {
	URL string `json:"url"`
	// Method is PUT by default.
	Method  string            `json:"method,omitempty"`
	Headers map[string]string `json:"headers,omitempty"`
}

// Put implements Store. An object is stored as one, if all of it fits into a part or it is a file; or else in pieces
// NAME.0001 and so on, since a presigned request says how long its body is.
func (m *mintStore) Put(ctx context.Context, name string, src Source) (remote.Stored, error) {
	if src.File != nil {
		return m.putFile(ctx, name, src)
	}
	p := newParts(ctx, src, m.web.settings, m.web.pulse)
	defer p.stop()
	stored := remote.Stored{Name: name, Confirmed: true}
	for {
		part, err := p.next()
		if err != nil {
			return stored, err
		}
		piece := name
		if !part.last || part.number > 1 {
			piece = fmt.Sprintf("%s.%04d", name, part.number)
			stored.Pieces = part.number
		}
		sum := sha256.Sum256(part.data)
		md5sum := part.md5
		open := func() io.Reader { return part.reader() }
		if err := m.put(ctx, piece, int64(len(part.data)), md5sum[:], sum[:], open); err != nil {
			return stored, err
		}
		stored.Bytes += int64(len(part.data))
		if part.last {
			stored.SHA256, err = p.digest(src)
			return stored, err
		}
		p.release(part)
	}
}

func (m *mintStore) putFile(ctx context.Context, name string, src Source) (remote.Stored, error) {
	md5sum, sum := md5.New(), sha256.New()
	if _, err := io.Copy(io.MultiWriter(md5sum, sum), io.NewSectionReader(src.File, 0, src.Size)); err != nil {
		return remote.Stored{}, err
	}
	digest := sum.Sum(nil)
	if src.SHA256 != "" && src.SHA256 != hex.EncodeToString(digest) {
		return remote.Stored{}, fmt.Errorf("%s: %w", name, errChanged)
	}
	open := func() io.Reader { return m.web.pulse.reader(io.NewSectionReader(src.File, 0, src.Size)) }
	if err := m.put(ctx, name, src.Size, md5sum.Sum(nil), digest, open); err != nil {
		return remote.Stored{}, err
	}
	return remote.Stored{Name: name, Bytes: src.Size, SHA256: hex.EncodeToString(digest), Confirmed: true}, nil
}

// put asks for a request and makes it. The server checks Content-MD5, so a success confirms it: a request
// that the service signs without that header has none.
func (m *mintStore) put(ctx context.Context, name string, size int64, md5sum, sum []byte, open func() io.Reader) error {
	ask := mintRequest{m.web.at.Bucket, m.web.at.Object(name), size, base64.StdEncoding.EncodeToString(md5sum), hex.EncodeToString(sum), m.web.About}
	return m.web.try(ctx, name, func(ctx context.Context) error {
		// Each attempt has a request of its own: one that was minted before may have expired.
		answer, err := m.ask(ctx, ask)
		if err != nil {
			return err
		}
		method := answer.Method
		if method == "" {
			method = http.MethodPut
		}
		r, err := http.NewRequestWithContext(ctx, method, answer.URL, open())
		if err != nil {
			return permanent{err}
		}
		r.ContentLength = size
		if size == 0 {
			r.Body = http.NoBody
		}
		r.Header.Set("Content-MD5", ask.MD5)
		for name, value := range answer.Headers {
			r.Header.Set(name, value)
		}
		h, err := m.web.send(r)
		if tag := strings.Trim(h.Get("ETag"), `"`); err == nil && len(tag) == 2*md5.Size && tag != hex.EncodeToString(md5sum) {
			err = fmt.Errorf("%s: what arrived was damaged on the way", r.URL.Host)
		}
		return err
	})
}

func (m *mintStore) ask(ctx context.Context, ask mintRequest) (mintAnswer, error) {
	b, err := json.Marshal(ask)
	if err != nil {
		return mintAnswer{}, permanent{err}
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, m.service, bytes.NewReader(b))
	if err != nil {
		return mintAnswer{}, permanent{err}
	}
	r.Header.Set("Content-Type", "application/json")
	resp, err := m.web.client.Do(r)
	if err != nil {
		return mintAnswer{}, networkProblem(r.URL.Host, err)
	}
	defer resp.Body.Close()
	said, err := io.ReadAll(io.LimitReader(resp.Body, maxMinted))
	if err != nil {
		return mintAnswer{}, networkProblem(r.URL.Host, err)
	}
	if err := webProblem(r, resp, said); err != nil {
		return mintAnswer{}, err
	}
	var answer mintAnswer
	if err := json.Unmarshal(said, &answer); err != nil || answer.URL == "" {
		return mintAnswer{}, permanent{fmt.Errorf(`%s: the answer is not {"url": ...}`, r.URL.Host)}
	}
	return answer, nil
}

// PutNew implements Store: a presigned request has no condition.
func (m *mintStore) PutNew(context.Context, string, []byte) (bool, error) {
	return false, ErrUnconditional
}

// Get implements Store: what is stored can't be read.
func (m *mintStore) Get(context.Context, string, int64) ([]byte, Info, error) {
	return nil, Info{}, fs.ErrNotExist
}

// Stat implements Store, as Get.
func (m *mintStore) Stat(context.Context, string) (Info, error) { return Info{}, fs.ErrNotExist }

// Delete implements Store: nothing is.
func (m *mintStore) Delete(context.Context, string) error { return nil }

// Close implements Store.
func (m *mintStore) Close() error { return m.web.Close() }
