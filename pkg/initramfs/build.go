package initramfs

import (
	"errors"
	"fmt"
	"io"
	"io/fs"

	"github.com/gokexec/gokexec/pkg/kconfig"
	"github.com/gokexec/gokexec/pkg/kmod"
)

// ConfigPath is where Config.Settings goes.
const ConfigPath = "etc/gokexec/capture.json"

// Config says what goes into an initramfs.
type Config struct {
	// Root is the system that has the kernel's modules and configuration:
	// lib/modules or usr/lib/modules, boot. It may be nil if KernelVersion is
	// "".
	Root fs.FS
	// KernelVersion is the capture kernel's release, as in uname -r. With ""
	// there are no modules and nothing is known of the kernel.
	KernelVersion string
	// Init is the program that becomes /init: a static ELF file of the
	// kernel's architecture, of InitSize bytes.
	Init     io.ReaderAt
	InitSize int64
	// Settings is the content of /etc/gokexec/capture.json; nil for none.
	Settings []byte
	// Modules are the modules that must be loaded, by name or alias; what
	// they need is added. OptionalModules are those to try: it is no error if
	// the kernel does not have them or can't load them.
	Modules         []string
	OptionalModules []string
	// ModuleParams are parameters by module name, as "io_timeout=60 x=1". They
	// follow those of modprobe.d in Root, so that they win.
	ModuleParams map[string]string
	// UnpackModules stores compressed modules unpacked. By default they stay
	// as found: with Debian's xz modules that makes the archive smaller
	// (2.06 MB instead of 2.33 MB for NVMe, SATA and ext4 on 6.12) and its
	// contents, which the capture kernel holds in memory, much smaller
	// (3.6 MB instead of 8.5 MB). The kernel unpacks them itself, or kmod
	// does.
	UnpackModules bool
	// Files are additional files.
	Files []File
	// Programs are absolute paths of programs of Machine, which go in under the same paths with what they need to be
	// started: an ELF file's dynamic linker and libraries, a script's interpreter and what that needs. What they
	// open or call by themselves has to be named too. A file that is there already stays.
	Programs []string
	Machine  fs.FS
	// Fast takes the compressor's quickest level that is worth it: an archive that is built at each arm
	// is not kept, and time counts more than its size.
	Fast bool
	// Compression is Auto if it is "".
	Compression Compression
}

// Report says what went into an initramfs.
type Report struct {
	Entries     []Entry // in the archive's order
	Modules     []kmod.Needed
	Compression Compression // never Auto
	// Notes tell what could not be taken over: firmware that is not there, install
	// commands of modprobe.d, lines that are not understood.
	Notes []string
	// Unpacked is the size of the cpio archive, and Size that of what was
	// written, in bytes. The capture kernel holds both in memory while it
	// unpacks, and frees the latter afterwards.
	Unpacked, Size int64
}

// Entry is a member of the archive.
type Entry struct {
	Path string
	Mode fs.FileMode
	Size int64 // bytes
}

// Build writes an initramfs to w. Everything that can be wrong with cfg is
// found before the first byte is written; if an error comes later, what was
// written is of no use.
//
// In addition to the files of cfg the archive has empty directories to mount on
// (dev, proc, sys, run, tmp, mnt, root) and two device nodes: the kernel opens
// /dev/console for /init before anything could mount devtmpfs, and a program
// may want /dev/null as early.
func Build(w io.Writer, cfg Config) (*Report, error) {
	report := &Report{}
	var config kconfig.Config
	var err error
	if cfg.KernelVersion != "" {
		if cfg.Root == nil {
			return nil, errors.New("initramfs: Config.Root is nil")
		}
		if config, err = kconfig.OfRelease(cfg.Root, cfg.KernelVersion); err != nil {
			return nil, fmt.Errorf("initramfs: kernel configuration: %w", err)
		}
	}
	if report.Compression, err = choose(cfg.Compression, config, cfg.Fast); err != nil {
		return nil, fmt.Errorf("initramfs: %w", err)
	}
	want, known := configArch(config)
	l := make(layout)
	a := &moduleAdder{layout: l, cfg: &cfg, kernel: config, report: report}
	if err := a.addModules(&want, &known); err != nil {
		return nil, err
	}
	if want, err = addInit(l, &cfg, want, known); err != nil {
		return nil, err
	}
	if err := addBase(l, &cfg); err != nil {
		return nil, err
	}
	programs := &programAdder{l, cfg.Machine, want}
	for _, name := range cfg.Programs {
		if err := programs.add(name); err != nil {
			return nil, err
		}
	}

	out := &counter{w: w}
	z, err := compressor(out, report.Compression, cfg.Fast)
	if err != nil {
		return nil, fmt.Errorf("initramfs: %w", err)
	}
	in := &counter{w: z}
	if report.Entries, err = l.write(in); err != nil {
		return nil, err
	}
	if err := z.Close(); err != nil {
		return nil, fmt.Errorf("initramfs: %s: %w", report.Compression, err)
	}
	report.Unpacked, report.Size = in.n, out.n
	return report, nil
}

type counter struct {
	w io.Writer
	n int64
}

func (c *counter) Write(b []byte) (int, error) {
	n, err := c.w.Write(b)
	c.n += int64(n)
	return n, err
}

func addBase(l layout, cfg *Config) error {
	for _, d := range []struct {
		name string
		perm uint64
	}{
		{"dev", 0o755}, {"proc", 0o555}, {"sys", 0o555}, {"run", 0o755}, {"tmp", 0o1777},
		{"mnt", 0o755}, {"root", 0o700}, {"etc", 0o755},
	} {
		if err := l.dir(d.name, d.perm); err != nil {
			return err
		}
	}
	// Documentation/admin-guide/devices.txt
	if err := l.char("dev/console", 0o600, 5, 1); err != nil {
		return err
	}
	if err := l.char("dev/null", 0o666, 1, 3); err != nil {
		return err
	}
	if cfg.Settings != nil {
		// It may hold a password or a key.
		if err := l.file(Bytes(ConfigPath, 0o600, cfg.Settings)); err != nil {
			return err
		}
	}
	for _, f := range cfg.Files {
		if err := l.file(f); err != nil {
			return err
		}
	}
	return nil
}

// addInit adds /init, and tells what it is for.
func addInit(l layout, cfg *Config, want arch, known bool) (arch, error) {
	if cfg.Init == nil {
		return want, errors.New("initramfs: Config.Init is nil")
	}
	have, err := readProgram(cfg.Init, cfg.InitSize)
	if err != nil {
		return want, fmt.Errorf("initramfs: /init: %w", err)
	}
	if known && have != want {
		return want, fmt.Errorf("initramfs: /init: it is for %v; kernel %s is for %v", have, cfg.KernelVersion, want)
	}
	return have, l.file(File{Path: "init", Mode: 0o755, Content: cfg.Init, Size: cfg.InitSize})
}
