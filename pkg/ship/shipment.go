package ship

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"

	"github.com/gokexec/gokexec/pkg/dumpdir"
	"github.com/gokexec/gokexec/pkg/fleet"
	"github.com/gokexec/gokexec/pkg/remote"
	"github.com/gokexec/gokexec/pkg/store"
)

// maxSmall bounds the files that are sent before the memory, in bytes.
const maxSmall = 64 << 20

// shipment is one dump that is being sent.
type shipment struct {
	*Shipper
	dir  *os.Root
	dump *dump
	rec  *Record
	sum  *Summary
	why  string // for the manifest
}

// send sends the manifest, the small files, the memory, and the manifest again.
func (w *shipment) send(ctx context.Context) error {
	file := memory(w.dir)
	if file == "" {
		w.rec.VMCore = fleet.None
	}
	if err := w.manifest(ctx, file); err != nil {
		return err
	}
	names, err := w.smallFiles()
	if err != nil {
		return err
	}
	for _, name := range names {
		if err := w.small(ctx, name); err != nil {
			return err
		}
	}
	if file != "" {
		if err := w.claimed(ctx, file); err != nil {
			return err
		}
	}
	return w.manifest(ctx, file)
}

// manifest stores what is known by now.
func (w *shipment) manifest(ctx context.Context, file string) error {
	m := fleet.Manifest{
		CrashID: w.rec.CrashID, Crash: w.dump.crash().UTC(), Fingerprint: w.dump.result.Report.Fingerprint, BuildID: w.dump.result.BuildID,
		Outcome: w.dump.result.Outcome, VMCore: w.rec.VMCore, Encrypted: len(w.Encrypt) > 0, Files: slices.Clone(w.rec.Files), Why: w.why,
	}
	for i := range m.Files {
		m.Files[i].Reused = 0
	}
	if file != "" {
		info, err := w.dir.Lstat(file)
		if err != nil {
			return err
		}
		m.VMCoreBytes = info.Size()
	}
	b, err := m.Encode()
	if err != nil {
		return err
	}
	sum := sha256.Sum256(b)
	digest := hex.EncodeToString(sum[:])
	_, err = w.Store.Put(ctx, w.object(fleet.ManifestName), store.Source{File: bytes.NewReader(b), Size: int64(len(b)), SHA256: digest})
	return err
}

func (w *shipment) object(file string) string { return fleet.Object(w.rec.CrashID, file) }

// smallFiles lists the files of the dump but for its memory, the log first.
func (w *shipment) smallFiles() ([]string, error) {
	d, err := w.dir.Open(".")
	if err != nil {
		return nil, err
	}
	defer d.Close()
	entries, err := d.ReadDir(-1)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, e := range entries {
		name := e.Name()
		switch {
		case !e.Type().IsRegular(), strings.HasPrefix(name, "."), strings.HasSuffix(name, ".part"):
		case name == dumpdir.Shipped, name == dumpdir.Spool, strings.HasPrefix(name, dumpdir.VMCore):
		case strings.HasSuffix(name, ".incomplete"), strings.ContainsFunc(name, func(r rune) bool { return r <= ' ' || r >= 0x7f }):
		default:
			names = append(names, name)
		}
	}
	slices.SortFunc(names, func(a, b string) int {
		if first := strings.HasPrefix(a, dumpdir.Log); first != strings.HasPrefix(b, dumpdir.Log) {
			if first {
				return -1
			}
			return 1
		}
		return strings.Compare(a, b)
	})
	return names, nil
}

// small sends a small file, unless it is there.
func (w *shipment) small(ctx context.Context, name string) error {
	f, size, err := dumpdir.OpenRegular(w.dir, name)
	if err != nil {
		return err
	}
	defer f.Close()
	if size > maxSmall {
		w.say("%s is not sent: it has %d MB", name, size/1e6)
		return nil
	}
	as := name
	var src io.Reader = io.NewSectionReader(f, 0, size)
	if len(w.Encrypt) > 0 && !strings.HasSuffix(name, dumpdir.Encrypted) {
		if as += dumpdir.Encrypted; w.noted(as) {
			return nil // it can't be compared: each encryption is another
		}
		sealed := w.Encrypt.Reader(src)
		defer sealed.Close()
		src = sealed
	}
	b, err := io.ReadAll(src)
	if err != nil {
		return err
	}
	sum := sha256.Sum256(b)
	digest := hex.EncodeToString(sum[:])
	if old, ok := w.rec.file(as); ok && old.SHA256 == digest {
		return nil
	}
	stored, err := w.Store.Put(ctx, w.object(as), store.FileSource(bytes.NewReader(b), int64(len(b)), digest))
	if err != nil {
		return err
	}
	return w.note(as, stored)
}

func (w *shipment) noted(name string) bool {
	_, ok := w.rec.file(name)
	return ok
}

// note records what is stored.
func (w *shipment) note(name string, stored remote.Stored) error {
	stored.Name = name
	w.rec.set(stored)
	w.sum.Bytes += stored.Bytes - stored.Reused
	w.sum.Reused += stored.Reused
	return w.rec.write(w.dir)
}

// claimed sends the memory, if not enough machines have sent theirs.
func (w *shipment) claimed(ctx context.Context, file string) error {
	fingerprint := w.dump.result.Report.Fingerprint
	if fingerprint == "" || w.Limit == 0 {
		return w.memory(ctx, file, nil)
	}
	if w.rec.Attempts > 1 {
		// It may have been stored, and this process killed before it noted that.
		if there, err := w.has(ctx, w.rec.CrashID); err != nil {
			return err
		} else if there {
			if err := w.memory(ctx, file, nil); err != nil {
				return err
			}
		}
	}
	claims := &fleet.Claims{Store: w.Store, Limit: w.Limit, TTL: w.TTL, Has: w.has}
	claim, err := claims.Take(ctx, fingerprint, w.rec.CrashID)
	over := w.rec.VMCore == fleet.Stored
	switch {
	case over && err != nil:
		return nil // it is there, whatever others do
	case errors.Is(err, fleet.ErrEnough):
		w.rec.VMCore, w.why = fleet.Duplicate, err.Error()
		w.say("%s: %v; its memory stays here", w.dump.name, err)
		return nil
	case errors.Is(err, fleet.ErrBusy):
		return ErrDeferred
	case errors.Is(err, store.ErrUnconditional):
		w.why = "every machine sends its memory: " + err.Error()
		w.say("%s: %s", w.dump.name, w.why)
		return w.memory(ctx, file, nil)
	case err != nil:
		return err
	case over:
		return claim.Done(ctx)
	}
	sending, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	go claim.KeepAlive(sending, cancel)
	err = w.memory(sending, file, claim.Check)
	if errors.Is(err, fleet.ErrLost) || err != nil && errors.Is(context.Cause(sending), fleet.ErrLost) {
		return ErrDeferred
	}
	if err != nil {
		return err
	}
	return claim.Done(ctx)
}

// has tells whether the memory of a crash is stored.
func (w *shipment) has(ctx context.Context, crashID string) (bool, error) {
	for _, name := range [...]string{dumpdir.VMCore, dumpdir.VMCore + dumpdir.Encrypted} {
		_, err := w.Store.Stat(ctx, fleet.Object(crashID, name))
		if err == nil || !errors.Is(err, fs.ErrNotExist) {
			return err == nil, err
		}
	}
	return false, nil
}

// memory sends the memory.
func (w *shipment) memory(ctx context.Context, file string, gate func(context.Context) error) error {
	as := file
	if len(w.Encrypt) > 0 && !strings.HasSuffix(file, dumpdir.Encrypted) {
		as += dumpdir.Encrypted
		if err := w.spool(ctx, file); err != nil {
			return err
		}
		file = dumpdir.Spool
	}
	f, size, err := dumpdir.OpenRegular(w.dir, file)
	if err != nil {
		return err
	}
	defer f.Close()
	digest, err := w.digest(ctx, f, size)
	if err != nil {
		return err
	}
	src := store.FileSource(f, size, digest)
	src.Gate = gate
	stored, err := w.Store.Put(ctx, w.object(as), src)
	if err != nil {
		return err
	}
	w.rec.VMCore, w.rec.Confirmed = fleet.Stored, stored.Confirmed && stored.SHA256 == digest && stored.Bytes == size
	confirmed := "the store has confirmed its digest"
	if !w.rec.Confirmed {
		confirmed = "the store does not confirm its digest, so that it is never removed here"
	}
	w.say("%s: %s is stored, %d MB (%d MB were there already); %s", w.dump.name, as, size/1e6, stored.Reused/1e6, confirmed)
	return w.note(as, stored)
}

func (w *shipment) digest(ctx context.Context, f io.ReaderAt, size int64) (string, error) {
	sum := sha256.New()
	n, err := io.Copy(sum, contextReader{ctx, io.NewSectionReader(f, 0, size)})
	if err == nil && n != size {
		err = fmt.Errorf("it has %d bytes; %d a moment ago", n, size)
	}
	return hex.EncodeToString(sum.Sum(nil)), err
}

// spool makes an encrypted copy of the memory, so that an attempt that broke off can be resumed: each encryption is
// another. It is removed when it is sent.
func (w *shipment) spool(ctx context.Context, file string) error {
	if info, err := w.dir.Lstat(dumpdir.Spool); err == nil && info.Mode().IsRegular() {
		return nil
	}
	f, size, err := dumpdir.OpenRegular(w.dir, file)
	if err != nil {
		return err
	}
	defer f.Close()
	return dumpdir.Replace(w.dir, dumpdir.Spool, func(out io.Writer) error {
		sealed, err := w.Encrypt.Writer(out)
		if err != nil {
			return err
		}
		if _, err := io.Copy(sealed, contextReader{ctx, io.NewSectionReader(f, 0, size)}); err != nil {
			return err
		}
		return sealed.Close()
	})
}

func (w *shipment) removeSpool() {
	if err := w.dir.Remove(dumpdir.Spool); err != nil && !errors.Is(err, fs.ErrNotExist) {
		w.say("%s: %v", w.dump.name, err)
	}
}

// contextReader ends when its context does.
type contextReader struct {
	ctx context.Context
	io.Reader
}

func (r contextReader) Read(p []byte) (int, error) {
	if r.ctx.Err() != nil {
		return 0, context.Cause(r.ctx)
	}
	return r.Reader.Read(p)
}
