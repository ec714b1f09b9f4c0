package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"strconv"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/gokexec/gokexec/pkg/remote"
)

// What a server without SFTP is asked for: the commands of POSIX, stat(1) and sha256sum(1) of coreutils and busybox.

// putShell writes an object by cat(1). What was left behind is not resumed.
func (s *sshStore) putShell(ctx context.Context, c *sshSession, name string, src Source, _ func()) (remote.Stored, error) {
	full := s.at.Object(name)
	stored := remote.Stored{Name: name, SHA256: src.SHA256}
	body := src.Reader
	if src.File != nil {
		if s.confirm(c, full, src.SHA256) {
			stored.Bytes, stored.Reused, stored.Confirmed = src.Size, src.Size, true
			return stored, nil
		}
		body = io.NewSectionReader(src.File, 0, src.Size)
	}
	part, counter := full+partSuffix, newCounter(s.dialer.reader(body))
	// That the stream ends is no sign that it is whole: only a second command gives it its name.
	_, err := s.command(c, fmt.Sprintf("umask 077 && mkdir -p %s && cat > %s", quote(path.Dir(full)), quote(part)), counter)
	sent := counter.end()
	stored.Bytes, stored.SHA256 = sent.bytes, sent.sha256
	final := full
	if sent.err != nil {
		if !errors.Is(sent.err, remote.ErrAbandoned) || sent.bytes == 0 {
			_, _ = s.command(c, "rm -f "+quote(part), nil)
			return stored, permanent{sent.err}
		}
		final, stored.Name, err = full+incompleteSuffix, name+incompleteSuffix, nil
	}
	if err != nil {
		return stored, err
	}
	if src.SHA256 != "" && src.SHA256 != stored.SHA256 {
		return stored, permanent{fmt.Errorf("%s: %w", name, errChanged)}
	}
	if out, err := s.command(c, "wc -c < "+quote(part), nil); err != nil || strings.TrimSpace(out) != strconv.FormatInt(stored.Bytes, 10) {
		return stored, fmt.Errorf("%s: %w: %s of %d bytes", part, errDamaged, strings.TrimSpace(out), stored.Bytes)
	}
	if src.Confirm {
		if stored.Confirmed = s.confirm(c, part, stored.SHA256); !stored.Confirmed {
			return stored, fmt.Errorf("%s: %w", part, errDamaged)
		}
	}
	if err := src.gate(ctx); err != nil {
		return stored, permanent{err}
	}
	_, err = s.command(c, fmt.Sprintf("{ sync %[1]s || sync; } 2>/dev/null; mv -f %[1]s %[2]s", quote(part), quote(final)), nil)
	return stored, err
}

// newShell creates a file that is not there: set -C is O_EXCL (POSIX, Shell Command Language, 2.7.2).
func (s *sshStore) newShell(c *sshSession, full string, data []byte) (bool, error) {
	_, err := s.command(c, fmt.Sprintf("umask 077 && mkdir -p %s && set -C && cat > %s", quote(path.Dir(full)), quote(full)), bytes.NewReader(data))
	if err == nil {
		return true, nil
	}
	there, _, readErr := s.readShell(c, full, int64(len(data))+1)
	if readErr != nil {
		return false, err
	}
	return bytes.Equal(there, data), nil
}

func (s *sshStore) readShell(c *sshSession, full string, limit int64) ([]byte, Info, error) {
	info, err := s.statShell(c, full)
	if err != nil {
		return nil, info, err
	}
	if info.Size > limit {
		return nil, info, permanent{fmt.Errorf("%s has %d bytes; want %d at most", full, info.Size, limit)}
	}
	out, err := s.command(c, "cat "+quote(full), nil)
	return []byte(out), info, err
}

// statShell asks for the size and the age of a file, by the clock of the server.
func (s *sshStore) statShell(c *sshSession, full string) (Info, error) {
	out, err := s.command(c, fmt.Sprintf("[ -e %[1]s ] || exit 44; stat -c '%%s %%Y' %[1]s && date +%%s", quote(full)), nil)
	var exit *ssh.ExitError
	if errors.As(err, &exit) && exit.ExitStatus() == 44 {
		return Info{}, permanent{notThere{err}}
	}
	if err != nil {
		return Info{}, err
	}
	fields := strings.Fields(out)
	if len(fields) != 3 {
		return Info{}, permanent{fmt.Errorf("stat of %s: %q", full, out)}
	}
	var n [3]int64
	for i, field := range fields {
		if n[i], err = strconv.ParseInt(field, 10, 64); err != nil {
			return Info{}, permanent{fmt.Errorf("stat of %s: %q", full, out)}
		}
	}
	return Info{Size: n[0], Age: time.Duration(n[2]-n[1]) * time.Second}, nil
}
