package store

import (
	"bytes"
	"cmp"
	"context"
	"crypto/md5"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/minio/minio-go/v7"

	"github.com/gokexec/gokexec/pkg/remote"
)

// digestKey is the metadata of an object that has its SHA-256.
const digestKey = "Gokexec-Sha256"

// s3Store is a bucket of S3.
type s3Store struct {
	Options
	settings remote.Settings
	at       remote.Location
	core     minio.Core
	dialer   *dialer
}

func openS3(s remote.Settings, l remote.Location, opt Options) (Store, error) {
	d := newDialer(s)
	trip, err := newTransport(s, d)
	if err != nil {
		return nil, err
	}
	if service, ok := strings.CutPrefix(s.Credentials, remote.FromMint); ok {
		return &mintStore{newWebStore(s, l, opt, trip), service}, nil
	}
	creds, err := s3Credentials(s, opt, trip)
	if err != nil {
		return nil, err
	}
	endpoint, secure, err := s3Endpoint(s)
	if err != nil {
		return nil, err
	}
	lookup := minio.BucketLookupAuto
	if s.PathStyle {
		lookup = minio.BucketLookupPath
	}
	client, err := minio.New(endpoint, &minio.Options{Creds: creds, Secure: secure, Transport: trip, Region: cmp.Or(s.Region, remote.DefaultRegion), BucketLookup: lookup, MaxRetries: 1})
	if err != nil {
		return nil, fmt.Errorf("endpoint %s: %w", s.Endpoint, err)
	}
	return &s3Store{Options: opt, settings: s, at: l, core: minio.Core{Client: client}, dialer: d}, nil
}

// s3Endpoint is the server of S3, as minio-go takes it.
func s3Endpoint(s remote.Settings) (host string, secure bool, err error) {
	if s.Endpoint == "" {
		return "s3.amazonaws.com", true, nil
	}
	u, err := url.Parse(s.Endpoint)
	if err != nil {
		return "", false, fmt.Errorf("endpoint: %w", err)
	}
	if u.Path != "" && u.Path != "/" || u.RawQuery != "" || u.User != nil || u.Host == "" {
		return "", false, fmt.Errorf("endpoint %q; want https://HOST[:PORT]", s.Endpoint)
	}
	return u.Host, u.Scheme == "https", nil
}

func (s *s3Store) Close() error { return nil }

// try does one request until it succeeds, within the patience of the settings.
func (s *s3Store) try(ctx context.Context, what string, do func(context.Context) error) error {
	return s.retry(ctx, what, s.settings.Patience(), func(func()) error {
		ctx, heard := listen(ctx)
		return s.judge(do(ctx), heard)
	})
}

// judge tells whether an error is worth another attempt, and corrects a clock that is off.
func (s *s3Store) judge(err error, heard *heard) error {
	if err == nil {
		return nil
	}
	code := minio.ToErrorResponse(err).Code
	if code == "RequestTimeTooSkewed" && s.SetClock != nil && !heard.date.IsZero() {
		if clockErr := s.SetClock(heard.date); clockErr == nil {
			s.say("the clock is set to %s, the time of the server", heard.date.UTC().Format(time.RFC3339))
			return err
		}
	}
	return heard.after(s.explain(err, heard.status))
}

// putSmall stores an object in one request; sum is its MD5.
func (s *s3Store) putSmall(ctx context.Context, key string, data []byte, sum [md5.Size]byte, opts minio.PutObjectOptions) (minio.UploadInfo, error) {
	opts.DisableContentSha256 = true // Content-MD5 is signed, and all servers check it
	return s.core.PutObject(ctx, s.at.Bucket, key, bytes.NewReader(data), int64(len(data)), base64.StdEncoding.EncodeToString(sum[:]), "", opts)
}

// PutNew implements Store: PutObject with If-None-Match: *.
func (s *s3Store) PutNew(ctx context.Context, name string, data []byte) (bool, error) {
	key := s.at.Object(name)
	created := false
	err := s.try(ctx, name, func(ctx context.Context) error {
		opts := minio.PutObjectOptions{ContentType: "application/json"}
		opts.SetMatchETagExcept("*")
		_, err := s.putSmall(ctx, key, data, md5.Sum(data), opts)
		switch answer := minio.ToErrorResponse(err); {
		case err == nil:
			created = true
		case answer.StatusCode == http.StatusPreconditionFailed || answer.Code == minio.PreconditionFailed:
			return s.mine(ctx, name, data, &created)
		case answer.StatusCode == http.StatusConflict:
			// Lost a race; some say so where Amazon says 412, and Amazon only for as long as it lasts.
			if _, statErr := s.core.StatObject(ctx, s.at.Bucket, key, minio.StatObjectOptions{}); statErr == nil {
				return s.mine(ctx, name, data, &created)
			}
		case answer.Code == "NotImplemented" || answer.StatusCode == http.StatusNotImplemented:
			return permanent{ErrUnconditional}
		}
		return err
	})
	return created, err
}

// mine tells whether an object that is there already is what this process sent: the answer may have been lost.
func (s *s3Store) mine(ctx context.Context, name string, data []byte, created *bool) error {
	there, _, err := s.get(ctx, name, int64(len(data))+1)
	*created = err == nil && bytes.Equal(there, data)
	return err
}

// Get implements Store.
func (s *s3Store) Get(ctx context.Context, name string, limit int64) (data []byte, info Info, err error) {
	err = s.try(ctx, name, func(ctx context.Context) error {
		data, info, err = s.get(ctx, name, limit)
		return err
	})
	return data, info, err
}

func (s *s3Store) get(ctx context.Context, name string, limit int64) ([]byte, Info, error) {
	body, object, header, err := s.core.GetObject(ctx, s.at.Bucket, s.at.Object(name), minio.GetObjectOptions{})
	if err != nil {
		return nil, Info{}, err
	}
	defer body.Close()
	data, err := io.ReadAll(io.LimitReader(body, limit))
	return data, s3Info(object, header), err
}

// Stat implements Store.
func (s *s3Store) Stat(ctx context.Context, name string) (info Info, err error) {
	err = s.try(ctx, name, func(ctx context.Context) error {
		object, err := s.core.StatObject(ctx, s.at.Bucket, s.at.Object(name), minio.StatObjectOptions{})
		info = s3Info(object, object.Metadata)
		return err
	})
	return info, err
}

// s3Info is what a server says of an object.
func s3Info(o minio.ObjectInfo, header http.Header) Info {
	info := Info{Size: o.Size, SHA256: o.UserMetadata[digestKey]}
	if !o.LastModified.IsZero() {
		info.Age = age(header, o.LastModified)
	}
	return info
}

// Delete implements Store.
func (s *s3Store) Delete(ctx context.Context, name string) error {
	err := s.try(ctx, name, func(ctx context.Context) error {
		return s.core.RemoveObject(ctx, s.at.Bucket, s.at.Object(name), minio.RemoveObjectOptions{})
	})
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}
