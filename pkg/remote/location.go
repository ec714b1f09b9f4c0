package remote

import (
	"errors"
	"fmt"
	"net/url"
	"path"
	"strconv"
	"strings"
)

// Kind is a kind of store.
type Kind string

// The kinds.
const (
	S3   Kind = "s3"
	SSH  Kind = "ssh"
	HTTP Kind = "https"
)

// Location is where a store is.
type Location struct {
	Kind Kind
	// User, Host and Port are those of a server. Port 0 is the default of the kind. In S3 the server is
	// [Settings.Endpoint], and these are empty.
	User string
	Host string
	Port int
	// Bucket is that of S3.
	Bucket string
	// Path is the directory, or the prefix of the names, without a slash at either end; of SSH, an absolute
	// path begins with one.
	Path string
}

// errLocation says what is read.
var errLocation = errors.New("want s3://BUCKET[/PREFIX], ssh://USER@HOST[:PORT]/PATH or https://HOST[:PORT][/PATH]")

// IsLocation tells whether a text is meant as a location: it begins as one does.
func IsLocation(s string) bool {
	for _, scheme := range [...]string{"s3://", "ssh://", "https://", "http://"} {
		if strings.HasPrefix(s, scheme) {
			return true
		}
	}
	return false
}

// ParseLocation reads s3://BUCKET[/PREFIX], ssh://USER@HOST[:PORT]/PATH or https://HOST[:PORT][/PATH] (RFC 3986). In
// a path %HH stands for a byte. A password in it is refused: it would be shown wherever the location is.
func ParseLocation(s string) (Location, error) {
	u, err := url.Parse(s)
	if err != nil {
		return Location{}, fmt.Errorf("%w: %w", errLocation, errors.Unwrap(err))
	}
	l := Location{Kind: Kind(u.Scheme), Host: u.Hostname(), Path: cleanPath(u.Path)}
	if u.RawQuery != "" || u.Fragment != "" || u.Opaque != "" {
		return Location{}, fmt.Errorf("%q: a location has no query and no fragment; %w", s, errLocation)
	}
	if _, set := u.User.Password(); set {
		return Location{}, errors.New("a location has no password: it would be shown wherever the location is; use a key")
	}
	l.User = u.User.Username()
	if u.Port() != "" {
		if l.Port, err = strconv.Atoi(u.Port()); err != nil || l.Port < 1 || l.Port > 65535 {
			return Location{}, fmt.Errorf("%q: port %q is not one of 1 to 65535", s, u.Port())
		}
	}
	for _, r := range s {
		if r < ' ' || r == 0x7f {
			return Location{}, fmt.Errorf("%q has a control character", s)
		}
	}
	switch l.Kind {
	case S3:
		if l.User != "" || l.Port != 0 {
			return Location{}, fmt.Errorf("%q: a bucket has no user and no port; the server is the endpoint", s)
		}
		l.Bucket, l.Host = l.Host, ""
		if err := validBucket(l.Bucket); err != nil {
			return Location{}, fmt.Errorf("%q: %w", s, err)
		}
	case SSH:
		if l.User == "" || strings.HasPrefix(l.User, "-") {
			return Location{}, fmt.Errorf("%q names no user: want ssh://USER@HOST/PATH", s)
		}
		if u.Path == "" || u.Path == "/" {
			return Location{}, fmt.Errorf("%q names no directory: want ssh://USER@HOST/PATH", s)
		}
		// As sftp(1) reads it: /PATH is from the root, /~/PATH from the user's directory.
		if home, ok := strings.CutPrefix(l.Path, "~/"); ok {
			l.Path = home
		} else if l.Path == "~" {
			l.Path = "."
		} else {
			l.Path = "/" + l.Path
		}
	case HTTP:
		if l.User != "" {
			return Location{}, fmt.Errorf("%q: a user is not supported; use a client certificate", s)
		}
	case "http":
		return Location{}, fmt.Errorf("%q: without TLS everybody on the way could read the dump; use https://", s)
	default:
		return Location{}, fmt.Errorf("%q: %w", s, errLocation)
	}
	if l.Kind != S3 && l.Host == "" {
		return Location{}, fmt.Errorf("%q names no host: %w", s, errLocation)
	}
	return l, nil
}

// cleanPath is a path without empty elements and dots, and without a slash at its ends.
func cleanPath(p string) string {
	return strings.TrimPrefix(path.Clean("/"+p), "/")
}

// validBucket checks the name of a bucket (Amazon S3 User Guide, "General purpose bucket naming rules"), but that
// others allow capitals and underscores.
func validBucket(name string) error {
	if len(name) < 3 || len(name) > 63 {
		return fmt.Errorf("the name of the bucket, %q, has %d characters; want 3 to 63", name, len(name))
	}
	for _, r := range name {
		if !strings.ContainsRune("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_", r) {
			return fmt.Errorf("the name of the bucket, %q, has %q in it", name, r)
		}
	}
	return nil
}

// String is the location as ParseLocation reads it.
func (l Location) String() string {
	u := url.URL{Scheme: string(l.Kind), Host: l.Host, Path: "/" + l.Path}
	switch l.Kind {
	case S3:
		u.Host = l.Bucket
	case SSH:
		switch {
		case strings.HasPrefix(l.Path, "/"):
			u.Path = l.Path
		case l.Path == ".":
			u.Path = "/~"
		default:
			u.Path = "/~/" + l.Path
		}
	}
	if l.User != "" {
		u.User = url.User(l.User)
	}
	if strings.Contains(l.Host, ":") {
		u.Host = "[" + l.Host + "]"
	}
	if l.Port != 0 {
		u.Host += ":" + strconv.Itoa(l.Port)
	}
	if l.Path == "" {
		u.Path = ""
	}
	return u.String()
}

// Object is the name of an object at the location.
func (l Location) Object(name string) string { return path.Join(l.Path, name) }
