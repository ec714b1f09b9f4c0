package initramfs

import (
	"bytes"
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"strings"

	"github.com/gokexec/gokexec/internal/rootfs"
)

// ErrProgram is wrapped by the errors about Config.Programs.
var ErrProgram = errors.New("program can't be taken over")

const (
	// maxProgram bounds a program, and each of its libraries, in bytes.
	maxProgram = 256 << 20
	// maxScripts is how often an interpreter may be a script itself (fs/exec.c, exec_binprm).
	maxScripts = 5
	// interpreterLine is what the kernel reads of a script (include/uapi/linux/binfmts.h, BINPRM_BUF_SIZE).
	interpreterLine = 256
)

// searchPath is where env(1) looks for a program in a capture kernel.
var searchPath = []string{"usr/local/sbin", "usr/local/bin", "usr/sbin", "usr/bin", "sbin", "bin"}

// programAdder puts programs of a machine into a layout, and what they need to be started.
type programAdder struct {
	layout layout
	root   fs.FS
	want   arch // of /init
}

// ProgramError says which of Config.Programs can't be taken over. It wraps ErrProgram.
type ProgramError struct {
	Path string
	Err  error // why
}

// Error names the program and the reason.
func (e *ProgramError) Error() string {
	return fmt.Sprintf("initramfs: %s: %v: %v", e.Path, ErrProgram, e.Err)
}

// Unwrap gives ErrProgram and the reason.
func (e *ProgramError) Unwrap() []error { return []error{ErrProgram, e.Err} }

// add adds a program by its absolute path, and what it needs.
func (a *programAdder) add(name string) error {
	if err := a.program(name, 0); err != nil {
		return &ProgramError{name, err}
	}
	return nil
}

func (a *programAdder) program(name string, depth int) error {
	if !path.IsAbs(name) {
		return fmt.Errorf("%q is no absolute path", name)
	}
	if depth > maxScripts {
		return errors.New("too many scripts interpret each other")
	}
	real, info, err := a.find(strings.TrimPrefix(path.Clean(name), "/"))
	if err != nil {
		return err
	}
	if info.Mode().Perm()&0o111 == 0 {
		return fmt.Errorf("%s is not executable", name)
	}
	if err := a.place(strings.TrimPrefix(path.Clean(name), "/"), real, info); err != nil {
		return err
	}
	f, err := a.open(real)
	if err != nil {
		return err
	}
	defer f.Close()
	head := make([]byte, interpreterLine)
	n, err := f.ReadAt(head, 0)
	if err != nil && err != io.EOF {
		return err
	}
	switch head = head[:n]; {
	case bytes.HasPrefix(head, []byte(elf.ELFMAG)):
		return a.dynamic(real)
	case bytes.HasPrefix(head, []byte("#!")):
		return a.script(name, head, depth)
	}
	return fmt.Errorf("%s is neither an ELF program nor a script that names its interpreter (#!)", name)
}

// script adds the interpreter of a script, and where that is env(1), the program that it looks for.
func (a *programAdder) script(name string, head []byte, depth int) error {
	interpreter, argument, err := parseScript(head)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	if err := a.program(interpreter, depth+1); err != nil {
		return fmt.Errorf("the interpreter of %s: %w", name, err)
	}
	if path.Base(interpreter) != "env" {
		return nil
	}
	for _, word := range strings.Fields(argument) {
		if strings.HasPrefix(word, "-") || strings.Contains(word, "=") {
			continue // -S, or a variable
		}
		if path.IsAbs(word) {
			return a.program(word, depth+1)
		}
		for _, dir := range searchPath {
			if _, info, err := a.find(path.Join(dir, word)); err == nil && info.Mode().Perm()&0o111 != 0 {
				return a.program("/"+path.Join(dir, word), depth+1)
			}
		}
		return fmt.Errorf("the interpreter of %s: there is no program %s", name, word)
	}
	return fmt.Errorf("%s names no program for %s", name, interpreter)
}

// parseScript reads the first line of a script as the kernel does (fs/binfmt_script.c, load_script).
func parseScript(head []byte) (interpreter, argument string, err error) {
	line, _, whole := bytes.Cut(bytes.TrimPrefix(head, []byte("#!")), []byte("\n"))
	if !whole && len(head) >= interpreterLine {
		return "", "", fmt.Errorf("the line that names its interpreter has over %d bytes", interpreterLine)
	}
	words := strings.Trim(string(line), " \t")
	interpreter = words
	if i := strings.IndexAny(words, " \t"); i >= 0 {
		interpreter, argument = words[:i], strings.Trim(words[i:], " \t")
	}
	if !path.IsAbs(interpreter) || strings.ContainsRune(interpreter, 0) {
		return "", "", fmt.Errorf("its interpreter %q is no absolute path", interpreter)
	}
	if strings.HasSuffix(words, "\r") {
		return "", "", fmt.Errorf("the line that names its interpreter ends with a carriage return, which counts as a part of the name")
	}
	return interpreter, argument, nil
}

// dynamic adds the dynamic linker of an ELF program and its libraries.
func (a *programAdder) dynamic(real string) error {
	o, err := a.object(real)
	if err != nil {
		return err
	}
	if o.arch != a.want {
		return fmt.Errorf("/%s is for %v; the initramfs is for %v", real, o.arch, a.want)
	}
	if o.interpreter == "" {
		return nil
	}
	if !path.IsAbs(o.interpreter) {
		return fmt.Errorf("/%s: its dynamic linker %q is no absolute path", real, o.interpreter)
	}
	linker := strings.TrimPrefix(path.Clean(o.interpreter), "/")
	target, info, err := a.find(linker)
	if err != nil {
		return fmt.Errorf("the dynamic linker of /%s: %w", real, err)
	}
	if err := a.place(linker, target, info); err != nil {
		return err
	}
	return a.libraries(o, newLinker(a.root, o.interpreter))
}

// find follows the links to a regular file.
func (a *programAdder) find(name string) (real string, info fs.FileInfo, err error) {
	if real, err = rootfs.Resolve(a.root, name); err != nil {
		return "", nil, err
	}
	if info, err = fs.Stat(a.root, real); err != nil {
		return "", nil, err
	}
	switch {
	case !info.Mode().IsRegular():
		return "", nil, fmt.Errorf("/%s is not a regular file", name)
	case info.Size() > maxProgram:
		return "", nil, fmt.Errorf("/%s has %d bytes; want %d at most", name, info.Size(), maxProgram)
	}
	return real, info, nil
}

// place puts a file where it is on the machine, and a link where it is found under another name. What is there
// already, stays.
func (a *programAdder) place(name, real string, info fs.FileInfo) error {
	if a.layout[real] == nil {
		err := a.layout.add(&item{path: real, mode: modeFile | uint64(info.Mode().Perm()), open: func() (io.ReaderAt, int64, error) {
			f, err := a.open(real)
			if err != nil {
				return nil, 0, fmt.Errorf("initramfs: /%s: %w", real, err)
			}
			defer f.Close()
			// One of them in memory at a time.
			b, err := io.ReadAll(io.NewSectionReader(f, 0, maxProgram))
			return bytes.NewReader(b), int64(len(b)), err
		}})
		if err != nil {
			return err
		}
	}
	if name == real || a.layout[name] != nil {
		return nil
	}
	return a.layout.file(File{Path: name, Mode: fs.ModeSymlink, Target: "/" + real})
}

// readerAtCloser is an open file.
type readerAtCloser interface {
	io.ReaderAt
	io.Closer
}

func (a *programAdder) open(real string) (readerAtCloser, error) {
	f, err := a.root.Open(real)
	if err != nil {
		return nil, err
	}
	if r, ok := f.(readerAtCloser); ok {
		return r, nil
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxProgram))
	return memoryFile{bytes.NewReader(b)}, err
}

type memoryFile struct{ *bytes.Reader }

func (memoryFile) Close() error { return nil }
