package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/gokexec/gokexec/pkg/remote"
)

// Store is a store. Names are below its location. Errors say what to do (advice.Hint).
type Store interface {
	// Put stores an object, under its name only when it is whole.
	Put(ctx context.Context, name string, src Source) (remote.Stored, error)
	// PutNew stores a small object if there is none of that name: of any number of processes that do so at once, one
	// creates it. ErrUnconditional: the store has no way to do that, or can't be trusted with it.
	PutNew(ctx context.Context, name string, data []byte) (created bool, err error)
	// Get reads a small object, of at most limit bytes. One that is not there is fs.ErrNotExist.
	Get(ctx context.Context, name string, limit int64) ([]byte, Info, error)
	// Stat tells what a store has; fs.ErrNotExist for nothing.
	Stat(ctx context.Context, name string) (Info, error)
	// Delete removes an object; one that is not there is no error.
	Delete(ctx context.Context, name string) error
	// Close ends the connection.
	Close() error
}

// ErrUnconditional: the store can't create an object only if it does not exist.
var ErrUnconditional = errors.New("the store has no conditional writes")

// Info is what a store says of an object.
type Info struct {
	Size int64
	// SHA256 is what was known of its contents when it was sent, in hexadecimal; "" if nothing was.
	SHA256 string
	// Age is how long ago it was changed, by the clock of the server if that tells it.
	Age time.Duration
}

// Source is the contents of an object.
type Source struct {
	// Reader is read once, from beginning to end. That it breaks off is the error remote.ErrAbandoned: what there is
	// of it is kept as NAME.incomplete, where the store can do that.
	Reader io.Reader
	// Estimate is about how many bytes Reader has, at most; 0 is not known.
	Estimate int64

	// File is read in place of Reader, parts of it again if they have to be sent again. An attempt that broke off is
	// resumed. It must not change.
	File io.ReaderAt
	Size int64 // of File
	// SHA256 is that of File, in hexadecimal, if it is known. The store keeps it beside the object, if it can.
	SHA256 string
	// Confirm asks the store for a digest of what it has, or reads that back.
	Confirm bool
	// Gate is asked just before the object gets its name, if it is not nil: an error keeps it from that.
	Gate func(context.Context) error
}

func (s *Source) gate(ctx context.Context) error {
	if s.Gate == nil {
		return nil
	}
	return s.Gate(ctx)
}

// FileSource is a file, or a part of it, whose digest is known.
func FileSource(f io.ReaderAt, size int64, sha256 string) Source {
	return Source{File: f, Size: size, SHA256: sha256, Confirm: true}
}

// Options are the surroundings of a store.
type Options struct {
	// Say gets what is worth knowing while something is done: that it is tried again, that it is resumed.
	Say func(format string, args ...any)
	// SetClock sets the clock of the machine, to what a server says when it refuses a request for being off. nil: it is
	// not to be set.
	SetClock func(time.Time) error
	// AWS holds the environment variables that S3's credentials may be in. nil: none of them.
	Getenv func(string) string
	// IMDS is the URL of the instance metadata service. Default: http://169.254.169.254.
	IMDS string
	// About is what a mint service is told of the crash.
	About map[string]string
}

func (o Options) say(format string, args ...any) {
	if o.Say != nil {
		o.Say(format, args...)
	}
}

func (o Options) getenv(name string) string {
	if o.Getenv == nil {
		return ""
	}
	return o.Getenv(name)
}

// Open makes a store of settings. S3 and HTTPS are connected to at the first request.
func Open(ctx context.Context, s remote.Settings, opt Options) (Store, error) {
	if err := s.Validate(); err != nil {
		return nil, err
	}
	l, err := remote.ParseLocation(s.Location)
	if err != nil {
		return nil, err
	}
	switch l.Kind {
	case remote.S3:
		return openS3(s, l, opt)
	case remote.SSH:
		return openSSH(ctx, s, l, opt)
	case remote.HTTP:
		return openWeb(s, l, opt)
	}
	return nil, fmt.Errorf("%s: there is no such kind of store", s.Location)
}
