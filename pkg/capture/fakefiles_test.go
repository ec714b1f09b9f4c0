package capture

import (
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// fakeFiles are the files below a temporary directory. Faults are set per path.
type fakeFiles struct {
	*fakeMachine
	real   linuxFiles
	faults map[string]*fault
	// space is the room in a filesystem; nil is plenty.
	space func(dir string) (Space, error)
}

// fault is what is wrong with a file.
type fault struct {
	read     func(offset, length int64) error // fails the whole read
	capacity int64                            // bytes; 0 is no limit
	full     error                            // what is beyond it; nil is ENOSPC
	write    func(offset int64) error
	sync     error
	hang     chan struct{} // writes from 1 MiB on wait for its closing
	record   func(offset int64, b []byte)
	stream   func() error // before each Write
}

func (s *fakeFiles) FS() fs.FS { return os.DirFS(s.root) }

func (s *fakeFiles) OpenFile(name string, flag int, perm fs.FileMode) (File, error) {
	s.call("OpenFile")
	f, err := s.real.OpenFile(s.path(name), flag, perm)
	if err != nil {
		return nil, err
	}
	if fault := s.fault(name); fault != nil {
		return &faultyFile{File: f, fault: fault}, nil
	}
	return f, nil
}

// fault finds the fault of a path, or of its last element.
func (s *fakeFiles) fault(name string) *fault {
	if f := s.faults[name]; f != nil {
		return f
	}
	return s.faults[filepath.Base(name)]
}

func (s *fakeFiles) Mkdir(name string, perm fs.FileMode) error { return os.Mkdir(s.path(name), perm) }
func (s *fakeFiles) Root(name string) (*os.Root, error)        { return os.OpenRoot(s.path(name)) }
func (s *fakeFiles) Rename(from, to string) error              { return os.Rename(s.path(from), s.path(to)) }
func (s *fakeFiles) Pin(name string, own bool) (string, func() error, error) {
	_, release, err := s.real.Pin(s.path(name), own)
	return name, release, err
}
func (s *fakeFiles) SyncDir(name string) error              { return s.real.SyncDir(s.path(name)) }
func (s *fakeFiles) Stat(name string) (fs.FileInfo, error)  { return os.Stat(s.path(name)) }
func (s *fakeFiles) Lstat(name string) (fs.FileInfo, error) { return os.Lstat(s.path(name)) }

func (s *fakeFiles) Space(dir string) (Space, error) {
	if s.space == nil {
		return Space{1 << 50, 1 << 50}, nil
	}
	return s.space(dir)
}

// faultyFile fails as its fault says.
type faultyFile struct {
	File
	*fault
}

func (f *faultyFile) ReadAt(p []byte, offset int64) (int, error) {
	if f.read != nil {
		if err := f.read(offset, int64(len(p))); err != nil {
			return 0, err
		}
	}
	return f.File.ReadAt(p, offset)
}

func (f *faultyFile) WriteAt(p []byte, offset int64) (int, error) {
	if f.hang != nil && offset >= 1<<20 {
		<-f.hang
	}
	if f.fault.write != nil {
		if err := f.fault.write(offset); err != nil {
			return 0, err
		}
	}
	if f.capacity > 0 && offset+int64(len(p)) > f.capacity {
		n, _ := f.File.WriteAt(p[:max(0, f.capacity-offset)], offset)
		if f.full != nil {
			return n, f.full
		}
		return n, syscall.ENOSPC
	}
	if f.record != nil {
		f.record(offset, p)
	}
	return f.File.WriteAt(p, offset)
}

func (f *faultyFile) Write(p []byte) (int, error) {
	if f.stream != nil {
		if err := f.stream(); err != nil {
			return 0, err
		}
	}
	return f.File.Write(p)
}

func (f *faultyFile) Sync() error {
	if f.sync != nil {
		return f.sync
	}
	return f.File.Sync()
}

// sizedFile is a File that has only a size.
type sizedFile struct{ *source }

func (f sizedFile) Size() (int64, error)             { return f.size, nil }
func (sizedFile) Write([]byte) (int, error)          { return 0, syscall.EBADF }
func (sizedFile) WriteAt([]byte, int64) (int, error) { return 0, syscall.EBADF }
func (sizedFile) Close() error                       { return nil }
func (sizedFile) Sync() error                        { return nil }
func (sizedFile) Truncate(int64) error               { return nil }
func (sizedFile) WriteBack(int64, int64, bool) error { return nil }
