package store

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
	"path"
	"strings"
	"time"

	"github.com/pkg/sftp"
	"golang.org/x/crypto/ssh"

	"github.com/gokexec/gokexec/internal/printed"
	"github.com/gokexec/gokexec/pkg/remote"
)

// partSuffix is what the name of an object that is not whole ends with.
const partSuffix = ".part"

// window is how much is written before all of it must have been acknowledged, in bytes: of writes that are on their way
// at once, a later one may be on the disk and an earlier one not. So a file that was left behind is known to be
// whole up to the last window that it reaches into.
const window = 16 << 20

// errDamaged: the server has other bytes than those that were sent.
var errDamaged = errors.New("what the server has is not what was sent")

// Put implements Store.
func (s *sshStore) Put(ctx context.Context, name string, src Source) (remote.Stored, error) {
	stored := remote.Stored{Name: name}
	if src.File != nil && src.SHA256 == "" {
		sum := sha256.New()
		if _, err := io.Copy(sum, io.NewSectionReader(src.File, 0, src.Size)); err != nil {
			return stored, err
		}
		src.SHA256 = hex.EncodeToString(sum.Sum(nil))
	}
	damaged := 0
	err := s.try(ctx, name, func(ctx context.Context, c *sshSession, progress func()) error {
		var err error
		put := s.putSFTP
		if c.sftp == nil {
			put = s.putShell
		}
		stored, err = put(ctx, c, name, src, progress)
		if errors.Is(err, errDamaged) && damaged < 2 {
			damaged++
			return err
		}
		if err != nil && (src.File == nil || errors.Is(err, errDamaged) || errors.Is(err, errChanged)) {
			return permanent{s.finalError(err)} // a stream can't be sent again
		}
		return err
	})
	if err != nil {
		return remote.Stored{}, err
	}
	return stored, nil
}

// finalError explains an error that ends everything.
func (s *sshStore) finalError(err error) error {
	if errors.Is(err, remote.ErrAbandoned) || errors.Is(err, errDamaged) || errors.Is(err, errChanged) {
		return err
	}
	err = s.explain(err)
	var final permanent
	if errors.As(err, &final) {
		return final.error
	}
	return err
}

// putSFTP writes an object by SFTP.
func (s *sshStore) putSFTP(ctx context.Context, c *sshSession, name string, src Source, progress func()) (remote.Stored, error) {
	full := s.at.Object(name)
	stored := remote.Stored{Name: name, SHA256: src.SHA256}
	if src.File != nil {
		if info, err := c.sftp.Stat(full); err == nil && info.Size() == src.Size && s.confirm(c, full, src.SHA256) {
			stored.Bytes, stored.Reused, stored.Confirmed = src.Size, src.Size, true
			return stored, nil
		}
	}
	if err := c.sftp.MkdirAll(path.Dir(full)); err != nil {
		return stored, fmt.Errorf("make the directory %s: %w", path.Dir(full), err)
	}
	part := full + partSuffix
	flags := os.O_WRONLY | os.O_CREATE
	if src.File == nil {
		flags |= os.O_TRUNC
	}
	f, err := c.sftp.OpenFile(part, flags)
	if err != nil {
		return stored, fmt.Errorf("write %s: %w", part, err)
	}
	defer f.Close()
	if src.File != nil {
		if stored.Reused, err = resumeAt(f, src.Size); err != nil {
			return stored, err
		}
	}
	w := &sftpWriter{f: f, offset: stored.Reused, progress: progress}
	sum := sha256.New()
	if src.File != nil {
		err = w.copy(io.NewSectionReader(src.File, stored.Reused, src.Size-stored.Reused))
	} else {
		err = w.copy(io.TeeReader(s.dialer.reader(src.Reader), sum))
		stored.SHA256 = hex.EncodeToString(sum.Sum(nil))
	}
	stored.Bytes = w.offset
	final := full
	if w.source != nil {
		err = w.source
		if !errors.Is(err, remote.ErrAbandoned) || w.offset == 0 {
			if src.File == nil {
				_ = c.sftp.Remove(part)
			}
			return stored, permanent{err}
		}
		final, stored.Name, err = full+incompleteSuffix, name+incompleteSuffix, nil
	}
	if err == nil {
		err = syncSFTP(c, f)
	}
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		return stored, err
	}
	return s.finish(ctx, c, part, final, stored, src)
}

// resumeAt tells how much of what an earlier attempt has left is whole, and cuts the rest off.
func resumeAt(f *sftp.File, size int64) (int64, error) {
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	at := int64(0)
	if n := info.Size(); n > 0 && n <= size {
		at = (n - 1) / window * window
	}
	if info.Size() != at {
		err = f.Truncate(at)
	}
	return at, err
}

// syncSFTP asks the server to write the file to its disk, if it can (PROTOCOL of OpenSSH, 4.6).
func syncSFTP(c *sshSession, f *sftp.File) error {
	if _, ok := c.sftp.HasExtension("fsync@openssh.com"); !ok {
		return nil
	}
	return f.Sync()
}

// finish confirms what was written, and gives it its name.
func (s *sshStore) finish(ctx context.Context, c *sshSession, part, final string, stored remote.Stored, src Source) (remote.Stored, error) {
	if src.Confirm {
		if stored.Confirmed = s.confirm(c, part, stored.SHA256); !stored.Confirmed {
			_ = c.sftp.Remove(part)
			return stored, fmt.Errorf("%s: %w", part, errDamaged)
		}
	}
	if err := src.gate(ctx); err != nil {
		return stored, permanent{err}
	}
	if err := c.sftp.PosixRename(part, final); err != nil {
		_ = c.sftp.Remove(final)
		if err := c.sftp.Rename(part, final); err != nil {
			return stored, fmt.Errorf("rename %s: %w", part, err)
		}
	}
	return stored, nil
}

// confirm tells whether the server has a file with this digest: by sha256sum or, if it runs no commands, by reading it
// back.
func (s *sshStore) confirm(c *sshSession, name, digest string) bool {
	out, err := s.command(c, "sha256sum < "+quote(name), nil)
	if err == nil || c.sftp == nil {
		sum, _, ok := strings.Cut(out, " ")
		return err == nil && ok && sum == digest
	}
	f, err := c.sftp.Open(name)
	if err != nil {
		return false
	}
	defer f.Close()
	sum := sha256.New()
	_, err = f.WriteTo(sum)
	return err == nil && hex.EncodeToString(sum.Sum(nil)) == digest
}

// sftpWriter writes window by window.
type sftpWriter struct {
	f        *sftp.File
	offset   int64
	progress func()
	source   error // of what is read, but for io.EOF
}

func (w *sftpWriter) copy(r io.Reader) error {
	if _, err := w.f.Seek(w.offset, io.SeekStart); err != nil {
		return err
	}
	from := &errorReader{Reader: r}
	for from.err == nil {
		n, err := w.f.ReadFromWithConcurrency(io.LimitReader(from, window), sftpRequests)
		w.offset += n
		if from.err != nil && from.err != io.EOF {
			w.source = from.err
			return nil
		}
		if err != nil {
			return err
		}
		w.progress()
	}
	return nil
}

// errorReader remembers why it ended.
type errorReader struct {
	io.Reader
	err error
}

func (r *errorReader) Read(p []byte) (int, error) {
	n, err := r.Reader.Read(p)
	if err != nil {
		r.err = err
	}
	return n, err
}

// PutNew implements Store: a file that is created if it is not there (O_EXCL).
func (s *sshStore) PutNew(ctx context.Context, name string, data []byte) (bool, error) {
	full := s.at.Object(name)
	created := false
	err := s.try(ctx, name, func(ctx context.Context, c *sshSession, _ func()) (err error) {
		if c.sftp == nil {
			created, err = s.newShell(c, full, data)
			return err
		}
		if err := c.sftp.MkdirAll(path.Dir(full)); err != nil {
			return err
		}
		f, err := c.sftp.OpenFile(full, os.O_WRONLY|os.O_CREATE|os.O_EXCL)
		if err != nil {
			there, _, readErr := s.read(c, full, int64(len(data))+1)
			if readErr != nil {
				return err
			}
			created = bytes.Equal(there, data) // the answer may have been lost
			return nil
		}
		_, err = f.Write(data)
		created = true
		return errors.Join(err, f.Close())
	})
	return created, err
}

// Get implements Store.
func (s *sshStore) Get(ctx context.Context, name string, limit int64) (data []byte, info Info, err error) {
	err = s.try(ctx, name, func(ctx context.Context, c *sshSession, _ func()) (err error) {
		data, info, err = s.read(c, s.at.Object(name), limit)
		return err
	})
	return data, info, err
}

func (s *sshStore) read(c *sshSession, full string, limit int64) ([]byte, Info, error) {
	if c.sftp == nil {
		return s.readShell(c, full, limit)
	}
	f, err := c.sftp.Open(full)
	if err != nil {
		return nil, Info{}, sftpNotThere(err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, Info{}, err
	}
	data, err := io.ReadAll(io.LimitReader(f, limit))
	return data, sftpInfo(info), err
}

func sftpInfo(info fs.FileInfo) Info {
	return Info{Size: info.Size(), Age: time.Since(info.ModTime())}
}

// sftpNotThere tells a file that is not there from other errors.
func sftpNotThere(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return permanent{notThere{err}}
	}
	return err
}

// Stat implements Store.
func (s *sshStore) Stat(ctx context.Context, name string) (info Info, err error) {
	err = s.try(ctx, name, func(ctx context.Context, c *sshSession, _ func()) error {
		if c.sftp == nil {
			info, err = s.statShell(c, s.at.Object(name))
			return err
		}
		file, err := c.sftp.Stat(s.at.Object(name))
		if err != nil {
			return sftpNotThere(err)
		}
		info = sftpInfo(file)
		return nil
	})
	return info, err
}

// Delete implements Store.
func (s *sshStore) Delete(ctx context.Context, name string) error {
	err := s.try(ctx, name, func(ctx context.Context, c *sshSession, _ func()) error {
		if c.sftp == nil {
			_, err := s.command(c, "rm -f "+quote(s.at.Object(name)), nil)
			return err
		}
		return sftpNotThere(c.sftp.Remove(s.at.Object(name)))
	})
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// command runs a command of the server's shell. Its output is small.
func (s *sshStore) command(c *sshSession, text string, in io.Reader) (string, error) {
	session, err := c.client.NewSession()
	if err != nil {
		return "", err
	}
	defer session.Close()
	out, errs := &printed.Buffer{Limit: maxOutput}, &printed.Buffer{Limit: maxOutput}
	session.Stdin, session.Stdout, session.Stderr = in, out, errs
	if err := session.Run(text); err != nil {
		var exit *ssh.ExitError
		if errors.As(err, &exit) && len(errs.Bytes()) > 0 {
			return out.String(), fmt.Errorf("%w: %s", err, oneLine(errs.String()))
		}
		return out.String(), err
	}
	return out.String(), nil
}

// maxOutput bounds what is kept of a command's output, in bytes.
const maxOutput = 64 << 10

// quote makes one word of a text for a POSIX shell.
func quote(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }
