package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/pflag"
	"golang.org/x/sys/unix"

	"github.com/gokexec/gokexec/pkg/advice"
	"github.com/gokexec/gokexec/pkg/capture"
	"github.com/gokexec/gokexec/pkg/initramfs"
	"github.com/gokexec/gokexec/pkg/kmod"
	"github.com/gokexec/gokexec/pkg/network"
	"github.com/gokexec/gokexec/pkg/plan"
	"github.com/gokexec/gokexec/pkg/storage"
)

// selfExecutable is this program, whatever its name is (proc(5)).
const selfExecutable = "/proc/self/exe"

type initramfsOptions struct {
	output, release, sysroot, init string
	arch                           string
	modules, optional, sets, add   []string
	fstype, compression, shell     string
	mountOptions                   string
	otherMachine                   bool
	final, failure                 string
	overwrite, list, json          bool
	fast                           bool // to build and to unpack, before small: initramfs.Config.Fast
	watchdog                       string
	diskKeys                       string
	inMemory                       bool // it is written to no file
	handOver                       storage.HandOverOptions
	here, feedWatchdogs            bool
	watchdogs                      []kmod.Watchdog // of this machine, that run
	limits                         limitOptions
	hooks                          hookOptions
	plain                          []string // of add: what goes in without its libraries
	nfsOptions                     string
	remote                         remoteOptions
	remoteKeys                     string
	carried                        []string // files that targets need: FILE[:PATH]
	// networks are how targets were reached when the machine was armed, by their names.
	networks map[string]*network.Record
	fence    *network.Record // how the nodes of fence_kdump are reached now
	leftOut  []string        // targets, and fence_kdump, that could not be looked at
}

func initramfsCommand() command {
	return command{
		name: "initramfs", args: "TARGET...",
		short: "build the initramfs of the capture kernel",
		long: `Builds an initramfs that saves the log and the memory of a crashed kernel to the first
TARGET that has room for all of it. It contains this program as /init, its configuration, the
kernel modules that the targets need, and nothing else. Equal inputs give equal bytes.

A TARGET is PATH, a directory of this machine; fs:DEVICE[:PATH], a filesystem to be
mounted; raw:DEVICE, a block device for a tar stream; or nfs:HOST:/PATH, a directory of an NFS
server. DEVICE is /dev/NAME, UUID=, LABEL=,
PARTUUID=, PARTLABEL=, WWID= or SERIAL=; in a value and in PATH \xHH stands for a byte, such
as \x20 for a blank. PATH is the path on this machine: gokexec finds out what it means in the
capture kernel, through links, bind mounts and btrfs subvolumes, and replaces device names,
which may change between boots, by UUIDs. Of a target on LVM, md RAID or multipath, or on
several devices, what it is made of is recorded, and the capture kernel makes the same of the
same disks: build again after it was changed (lvextend, mdadm --add). gokexec storage shows
it. The key of an encrypted volume (LUKS) is put into no file: with --disk-keys kernel the kernel
that loads it hands the key over, and with DiskKeys=memory gokexec arm puts it into the initramfs
that it builds in memory. Of a HOST gokexec records how it is reached now: its addresses, the
network interface by its permanent address, what is built on that, routes; the capture kernel brings up
the same. Targets that cannot exist in a capture kernel (dm-cache, disks over
the network and the like) are refused. gokexec finds the modules by examining the device.

For another machine give --other-machine and name its modules: --set nvme,
--module ext4; --sysroot and --kernel say where they are, --arch its architecture.

A hook is a program of this machine that runs before the capture (--hook-pre), after it
(--hook-post), or after one that did not save everything (--hook-emergency). It goes in under
its own path with its dynamic linker and libraries, a script with its interpreter; what it
calls or opens by itself is added by --add FILE, which brings a program's libraries too. No
hook can cost the dump: each is killed after --hook-timeout, with all that it has started;
the kernel takes memory from it first; and how it ended is noted in result.json, and changes
nothing. Its standard input is empty, its output is shown and the end of it kept. It gets in
its environment what is known: GOKEXEC_STAGE (pre, post or emergency), GOKEXEC_VMCORE (the
memory of the crashed kernel, /proc/vmcore), GOKEXEC_VERSION, GOKEXEC_KERNEL_RELEASE and
GOKEXEC_CRASH_TIME (of the crashed kernel); after the capture GOKEXEC_OUTCOME (complete,
incomplete, log-only or failed), GOKEXEC_TITLE and GOKEXEC_FINGERPRINT (of the report), GOKEXEC_TARGET, GOKEXEC_LOCATION (the directory in the
target, or the device), and GOKEXEC_DIRECTORY (where the files of the dump are now, if they
are in a filesystem, which stays mounted until the hooks have ended).`,
		setup: func(flags *pflag.FlagSet) func(context.Context, *env, []string) error {
			o := &initramfsOptions{}
			flags.StringVarP(&o.output, "output", "o", "", "`FILE` to write, - for standard output; an old file is replaced when the new one is complete")
			flags.StringVarP(&o.release, "kernel", "k", "", "`RELEASE` of the capture kernel (uname -r); the running one by default")
			flags.StringVar(&o.sysroot, "sysroot", "/", "directory `DIR` with the modules and the configuration of that kernel")
			flags.BoolVar(&o.otherMachine, "other-machine", false, "the targets are on another machine: do not look for them here; name the modules")
			flags.StringVar(&o.arch, "arch", "", "for a machine of architecture `NAME`: init is gokexec-GOARCH in the directory of this program, unless --init names it")
			flags.BoolVar(&o.list, "list", false, "list what is in it")
			flags.BoolVar(&o.json, "json", false, "report as JSON")
			o.declare(flags)
			return o.run
		},
	}
}

// declare declares what goes into an initramfs, for gokexec initramfs and gokexec.conf alike.
func (o *initramfsOptions) declare(flags *pflag.FlagSet) {
	flags.StringArrayVarP(&o.modules, "module", "m", nil, "additional kernel module `NAME` to load (may be repeated)")
	flags.StringArrayVar(&o.optional, "optional-module", nil, "kernel module `NAME` to load if it exists (may be repeated)")
	flags.StringArrayVar(&o.sets, "set", nil, "the modules for a kind of disk, by `NAME` (may be repeated): "+strings.Join(kmod.SetNames(), ", "))
	flags.StringVar(&o.fstype, "fstype", "", "`TYPE` of the filesystem of fs: targets; what the device holds by default")
	flags.StringVar(&o.mountOptions, "mount-options", "", "`OPTIONS` to mount fs: targets with, as the filesystem takes them (subvol=NAME); what PATH needs by default")
	flags.StringVar(&o.nfsOptions, "nfs-options", "", "`OPTIONS` for nfs: targets, as nfs(5) has them: vers=3, port=20490, rsize=...; by default the newest version that the server has")
	flags.StringArrayVar(&o.add, "add", nil, "additional `FILE[:PATH]` to put in (may be repeated)")
	flags.StringVar(&o.shell, "shell", "", "static `FILE` that becomes /bin/sh, for the action shell")
	flags.StringVar(&o.final, "final-action", string(capture.Reboot), "`ACTION` when everything is saved: reboot, poweroff, halt or shell")
	flags.StringVar(&o.failure, "failure-action", string(capture.Reboot), "`ACTION` when something could not be saved")
	flags.BoolVar(&o.overwrite, "overwrite", false, "let raw: targets destroy what the device holds")
	o.limits.register(flags)
	o.remote.register(flags)
	flags.StringVar(&o.remoteKeys, "remote-keys", remoteKeysNo, "`WHETHER` private keys and credentials for stores go into the initramfs: no; memory, which is for gokexec arm alone: they are in no file, but in the crash memory; or file")
	o.hooks.register(flags)
	flags.StringVar(&o.watchdog, "watchdog", watchdogAuto, "`WHEN` to load the drivers of the hardware watchdogs first and feed all of them until the reboot: auto (one runs now), yes or no")
	flags.Lookup("watchdog").NoOptDefVal = watchdogYes
	flags.StringVar(&o.diskKeys, "disk-keys", diskKeysNo, "`HOW` the capture kernel gets the keys of encrypted volumes (LUKS, dm-crypt) that targets lie on: no; kernel, by which the kernel itself copies them out of root's keyring into the crash memory at each load (x86_64, Linux 6.16 with CONFIG_CRASH_DM_CRYPT); or memory, which is for gokexec arm alone: the key is in no file, but in the initramfs in the crash memory")
	flags.StringVar(&o.compression, "compression", string(initramfs.Auto), "`NAME`: none, gzip, xz, zstd, lz4, or what the kernel's configuration allows (auto)")
	flags.StringVar(&o.init, "init", selfExecutable, "static gokexec `FILE` that becomes init; by default this program, or where the capture needs no network the smaller gokexec-local")
}

func (o *initramfsOptions) run(ctx context.Context, e *env, args []string) error {
	if o.output == "" {
		return usageError("give the file to write: -o FILE")
	}
	to := e.reportOn(o.output)
	report, _, err := o.build(ctx, e, args, func(write func(io.Writer) (*initramfs.Report, error)) (*initramfs.Report, error) {
		return writeOutput(e, o.output, privateFile, write)
	})
	if err != nil {
		return err
	}
	return o.print(e, to, report)
}

// build finds out what the targets need and builds the initramfs: into calls write when all is known.
func (o *initramfsOptions) build(ctx context.Context, e *env, names []string, into func(write func(io.Writer) (*initramfs.Report, error)) (*initramfs.Report, error)) (*initramfs.Report, []*storage.Resolved, error) {
	o.carried, o.leftOut, o.fence = nil, nil, nil // of a build before
	if err := o.chooseInit(); err != nil {
		return nil, nil, err
	}
	if err := o.findWatchdogs(e); err != nil {
		return nil, nil, err
	}
	settings, err := o.settings(names)
	if err != nil {
		return nil, nil, usageError("%w", err)
	}
	targets, err := o.resolveTargets(ctx, e, &settings)
	if err != nil {
		return nil, nil, err
	}
	if err := o.storeTargets(ctx, e, &settings); err != nil {
		return nil, nil, err
	}
	fence, err := o.resolveFence(ctx, e, &settings)
	if err != nil {
		return nil, nil, err
	}
	o.chooseSmall(ctx, &settings)
	if o.release == "" {
		if o.release, err = runningRelease(); err != nil {
			return nil, nil, err
		}
	}
	keys, err := o.takeKeys(e, targets, &settings)
	if err != nil {
		return nil, nil, err
	}
	if err := settings.ValidateInit(); err != nil {
		return nil, nil, usageError("%w", err)
	}
	root, err := e.tree(strings.TrimSuffix(o.sysroot, "/"))
	if err != nil {
		return nil, nil, err
	}
	cfg := initramfs.Config{Root: root, KernelVersion: o.release, Fast: o.fast, Files: keys}
	if cfg.Compression, err = initramfs.ParseCompression(o.compression); err != nil {
		return nil, nil, usageError("--compression: %w", err)
	}
	if cfg.Settings, err = json.MarshalIndent(settings, "", "  "); err != nil {
		return nil, nil, err
	}
	needed := targets
	if fence != nil {
		needed = append(slices.Clone(targets), fence)
	}
	if err := o.findModules(e, root, needed, &cfg); err != nil {
		return nil, nil, err
	}
	files, err := o.openFiles(&cfg)
	if err != nil {
		return nil, nil, err
	}
	defer func() {
		for _, f := range files {
			f.Close()
		}
	}()
	if err := o.addPrograms(e, root, &settings, &cfg); err != nil {
		return nil, nil, err
	}
	report, err := into(func(w io.Writer) (*initramfs.Report, error) {
		r, err := initramfs.Build(w, cfg)
		if err != nil && o.init != selfExecutable {
			err = fmt.Errorf("with --init %s: %w", o.init, err)
		}
		return r, err
	})
	if err != nil {
		return nil, nil, initramfsProblem(err, o)
	}
	return report, targets, nil
}

func (o *initramfsOptions) settings(targets []string) (capture.Config, error) {
	cfg, err := targetConfig(targets, o.overwrite)
	if err != nil {
		return cfg, err
	}
	for i := range cfg.Targets {
		t := cfg.Targets[i]
		t.FSType, t.MountOptions = o.fstype, o.mountOptions
		if t.Type == capture.TargetNFS {
			t.MountOptions = o.nfsOptions
		}
		cfg.Targets[i] = t.Own()
	}
	if err := o.remote.withStores(cfg.Targets); err != nil {
		return cfg, err
	}
	o.limits.apply(&cfg)
	cfg.FinalAction, cfg.FailureAction = capture.Action(o.final), capture.Action(o.failure)
	cfg.Watchdog = o.feedWatchdogs
	if err := o.hooks.apply(&cfg); err != nil {
		return cfg, err
	}
	if (cfg.FinalAction == capture.Shell || cfg.FailureAction == capture.Shell) && o.shell == "" {
		return cfg, errors.New("the action shell needs --shell FILE, such as a static busybox")
	}
	return cfg, cfg.Validate()
}

// findModules adds to the modules that the user named those that the targets need.
func (o *initramfsOptions) findModules(e *env, root fs.FS, targets []*storage.Resolved, cfg *initramfs.Config) error {
	cfg.Modules, cfg.OptionalModules = o.modules, o.optional
	tree, err := kmod.Open(root, o.release)
	if errors.Is(err, kmod.ErrNoModules) && len(o.sets)+len(o.modules)+len(o.optional) == 0 {
		var devices []string
		for _, t := range targets {
			devices = append(devices, t.Devices...)
		}
		return o.withoutModules(e, err, devices, cfg)
	}
	if err != nil {
		return initramfsProblem(err, o)
	}
	for _, set := range o.sets {
		names, err := tree.Set(set)
		if err != nil {
			return &advice.Problem{What: fmt.Sprintf("--set %s: %v", set, err), Hint: "known are " + strings.Join(kmod.SetNames(), ", "), Err: err}
		}
		cfg.OptionalModules = append(cfg.OptionalModules, names...)
	}
	for _, t := range targets {
		if err := o.targetModules(e, tree, t, cfg); err != nil {
			return err
		}
	}
	return o.addFirst(e, tree, cfg)
}

// openFiles opens init and what is to be added. The caller closes them.
func (o *initramfsOptions) openFiles(cfg *initramfs.Config) (files []*os.File, err error) {
	defer func() {
		if err != nil {
			for _, f := range files {
				f.Close()
			}
		}
	}()
	open := func(path string) (*os.File, fs.FileInfo, error) {
		f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0) // do not wait for a writer of a FIFO
		if err != nil {
			return nil, nil, err
		}
		files = append(files, f)
		info, err := f.Stat()
		if err == nil && !info.Mode().IsRegular() {
			err = &fs.PathError{Op: "add", Path: path, Err: plan.ErrNotRegular}
		}
		return f, info, err
	}
	f, info, err := open(o.init)
	if err != nil {
		return files, err
	}
	cfg.Init, cfg.InitSize = f, info.Size()
	add := append(slices.Clone(o.add), o.carried...)
	if o.shell != "" {
		add = append(add, o.shell+":/bin/sh")
	}
	for _, item := range add {
		from, to, named := strings.Cut(item, ":")
		if !named {
			to = from
		}
		f, info, err := open(from)
		if err != nil {
			return files, err
		}
		cfg.Files = append(cfg.Files, initramfs.File{Path: strings.TrimPrefix(filepath.Clean("/"+to), "/"), Mode: info.Mode().Perm(), Content: f, Size: info.Size()})
	}
	return files, nil
}

func initramfsProblem(err error, o *initramfsOptions) error {
	p := &advice.Problem{What: err.Error(), Err: err}
	switch {
	case errors.Is(err, kmod.ErrNoModules):
		p.Hint = "-k names the release of an installed kernel, --sysroot the directory to which its package was unpacked"
	case errors.Is(err, kmod.ErrUnknownModule):
		p.Hint = "see `ls /lib/modules/" + o.release + "/kernel`; a driver may have another name in this kernel"
	case errors.Is(err, initramfs.ErrNotStatic):
		p.Hint = "build gokexec with CGO_ENABLED=0 (make build)"
	case errors.Is(err, initramfs.ErrProgram):
		p.Hint = "a hook is an ELF program of this architecture, or a script that begins with #!/PATH, and is executable; what it calls by itself is added by --add FILE"
	case errors.Is(err, initramfs.ErrCompression):
		p.Hint = "--compression auto takes what the kernel can unpack"
	case errors.Is(err, unix.ENOSPC):
		p.Hint = "the disk is full; the old file is unchanged"
	default:
		return err
	}
	return p
}

func (o *initramfsOptions) print(e *env, w io.Writer, r *initramfs.Report) error {
	for _, note := range r.Notes {
		fmt.Fprintf(e.stderr, "gokexec: warning: %s\n", note)
	}
	if o.json {
		return writeJSON(w, r)
	}
	if o.list {
		for _, entry := range r.Entries {
			fmt.Fprintf(w, "%s %9d %s\n", entry.Mode, entry.Size, entry.Path)
		}
	}
	var names bytes.Buffer
	for _, m := range r.Modules {
		fmt.Fprintf(&names, " %s", m.Name)
	}
	if names.Len() == 0 {
		names.WriteString(" none")
	}
	fmt.Fprintf(w, "%s: %.1f MB (%s; unpacked %.1f MB), modules:%s\n", o.output, float64(r.Size)/1e6, r.Compression, float64(r.Unpacked)/1e6, names.String())
	return nil
}
