package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"path"
	"slices"
	"strings"

	"github.com/gokexec/gokexec/internal/printed"
	"github.com/gokexec/gokexec/pkg/dumpdir"
	"github.com/gokexec/gokexec/pkg/fleet"
	"github.com/gokexec/gokexec/pkg/remote"
	"github.com/gokexec/gokexec/pkg/store"
)

// savedCrash is the crash whose objects come through the pipe, and its manifest: one is stored before anything else, and
// another one after each result, which comes before the memory and at the end.
type savedCrash struct {
	store     store.Store
	crash     *remote.Crash // nil: objects are what they are called, without a manifest
	encrypted bool
	files     []remote.Stored
	result    printed.Buffer
}

func (s *savedCrash) name(file string) string {
	if s.crash == nil {
		return file
	}
	return path.Join(s.crash.Directory(), file)
}

func (s *savedCrash) begin(ctx context.Context) error {
	if s.crash == nil {
		return nil
	}
	return s.manifest(ctx, fleet.Pending)
}

// see keeps what the manifest has of the result.
func (s *savedCrash) see(file string, r io.Reader) io.Reader {
	if s.crash == nil || file != dumpdir.Result {
		return r
	}
	s.result.Limit = dumpdir.MaxJSON
	s.result.Reset()
	return io.TeeReader(r, &s.result)
}

// stored notes what is stored, and after the result stores the manifest.
func (s *savedCrash) stored(ctx context.Context, file string, stored remote.Stored) error {
	if s.crash == nil {
		return nil
	}
	stored.Name = strings.TrimPrefix(stored.Name, s.crash.Directory()+"/")
	again := func(f remote.Stored) bool { return f.Name == stored.Name }
	s.files = append(slices.DeleteFunc(s.files, again), stored)
	if file != dumpdir.Result {
		return nil
	}
	if s.hasMemory() {
		return s.manifest(ctx, fleet.Stored)
	}
	return s.manifest(ctx, fleet.Pending)
}

// isMemory tells whether an object is the memory, in whatever form.
func isMemory(f remote.Stored) bool { return strings.HasPrefix(f.Name, dumpdir.VMCore) }

func (s *savedCrash) hasMemory() bool {
	return slices.ContainsFunc(s.files, isMemory)
}

// end says that there will be no memory, if there is none.
func (s *savedCrash) end(ctx context.Context) error {
	if s.crash == nil || s.hasMemory() {
		return nil
	}
	return s.manifest(ctx, fleet.None)
}

func (s *savedCrash) manifest(ctx context.Context, state fleet.State) error {
	m := fleet.Manifest{CrashID: s.crash.ID(), Crash: s.crash.Time.UTC(), VMCore: state, Encrypted: s.encrypted, Files: s.files}
	var result dumpdir.Summary
	if json.Unmarshal(s.result.Bytes(), &result) == nil {
		m.Outcome, m.BuildID, m.Fingerprint = result.Outcome, result.BuildID, result.Report.Fingerprint
	}
	for _, f := range s.files {
		if isMemory(f) {
			m.VMCoreBytes = f.Bytes
		}
	}
	b, err := m.Encode()
	if err != nil {
		return err
	}
	_, err = s.store.Put(ctx, s.name(fleet.ManifestName), store.Source{Reader: bytes.NewReader(b), Estimate: int64(len(b))})
	return err
}
