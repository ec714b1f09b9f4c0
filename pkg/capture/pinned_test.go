package capture

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// rival is the owner of the directory that a dump goes to: it acts as soon as the dump's own directory is there.
type rival struct {
	System
	act func(made string) error
	err error
}

func (r *rival) Mkdir(name string, perm fs.FileMode) error {
	err := r.System.Mkdir(name, perm)
	if err == nil && r.act != nil {
		r.err = r.act(filepath.Base(name))
	}
	return err
}

// A dump goes to the directory that was made for it or nowhere, whatever is renamed and linked beside it.
func TestPinned(t *testing.T) {
	const made = "20260102T030405Z"
	when := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	save := func(s *directorySink) error {
		_, err := s.put("text", func(w io.Writer) error { _, err := w.Write([]byte("log")); return err })
		return errors.Join(err, s.note([]byte("{}")), s.close())
	}
	for _, tt := range []struct {
		name  string
		early func(dir, victim string) error // when the directory has been made
		late  func(dir, victim string) error // when it is in use
		want  error
	}{
		{"nothing", nil, nil, nil},
		{"a link in its place", func(dir, victim string) error {
			return errors.Join(os.Rename(filepath.Join(dir, made), filepath.Join(dir, "away")), os.Symlink(victim, filepath.Join(dir, made)))
		}, nil, unix.ENOTDIR},
		{"another's directory in its place", func(dir, victim string) error {
			other := filepath.Join(dir, made)
			return errors.Join(os.Rename(other, filepath.Join(dir, "away")), os.Mkdir(other, 0o777), os.Chown(other, 65534, -1))
		}, nil, fs.ErrPermission},
		{"a link later", nil, func(dir, victim string) error {
			return errors.Join(os.Rename(filepath.Join(dir, made), filepath.Join(dir, "away")), os.Symlink(victim, filepath.Join(dir, made)))
		}, nil},
		{"its parent moved", nil, func(dir, victim string) error {
			return errors.Join(os.Rename(dir, dir+".away"), os.Symlink(victim, dir))
		}, nil},
		{"its parent moved at once", func(dir, victim string) error {
			return errors.Join(os.Rename(dir, dir+".away"), os.Symlink(victim, dir))
		}, nil, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			top := t.TempDir()
			dir, victim := filepath.Join(top, "crash"), filepath.Join(top, "victim")
			if err := errors.Join(os.Mkdir(dir, 0o777), os.Mkdir(victim, 0o755)); err != nil {
				t.Fatal(err)
			}
			r := &rival{System: NewSystem()}
			if tt.early != nil {
				r.act = func(string) error { return tt.early(dir, victim) }
			}
			s, err := newPinned(r, dir, when, reserve{}, keepDumps{})
			if errors.Is(r.err, fs.ErrPermission) {
				t.Skipf("only root can play another user: %v", r.err)
			}
			if r.err != nil {
				t.Fatal(r.err)
			}
			if !errors.Is(err, tt.want) {
				t.Fatalf("newPinned() = %v; want %v", err, tt.want)
			}
			if err == nil {
				if got := s.location(); got != filepath.Join(dir, made) {
					t.Errorf("location() = %s", got)
				}
				if tt.late != nil {
					if err := tt.late(dir, victim); err != nil {
						t.Fatal(err)
					}
				}
				if err := save(s); err != nil {
					t.Errorf("the dump's files: %v", err)
				}
			}
			if list, err := os.ReadDir(victim); err != nil || len(list) > 0 {
				t.Errorf("elsewhere there is %v, %v", list, err)
			}
			found, err := filepath.Glob(filepath.Join(top, "*", "*", "text"))
			if err != nil || len(found) != map[bool]int{true: 1}[tt.want == nil] {
				t.Errorf("the log is at %q, %v", found, err)
			}
		})
	}
}
