package capture

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"path"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/gokexec/gokexec/pkg/blkid"
	"github.com/gokexec/gokexec/pkg/network"
)

// TargetNFS is a directory of an NFS server.
const TargetNFS TargetType = "nfs"

func nfsKind() targetKind {
	return targetKind{
		name: TargetNFS, prefix: "nfs", usage: "nfs:HOST:/PATH", place: OverNetwork,
		parse: parseNFS,
		text:  func(t Target) string { return bracketed(t.Server) + ":" + blkid.Escape(t.Path) },
		own: func(t Target) Target {
			return Target{Type: t.Type, Server: t.Server, Path: t.Path, MountOptions: t.MountOptions, Machine: t.Machine, Network: t.Network}
		},
		fields:   "a server, a path, mount options, a machine and a network",
		validate: validNFS,
		lost:     unrecorded,
		open:     openNFS,
		remote: &remoteKind{
			hosts:   func(t Target) []string { return []string{t.Server} },
			modules: nfsModules,
			try:     tryNFS,
		},
	}
}

// unrecorded says that a capture kernel does not know the way to a target's hosts.
func unrecorded(t Target) string {
	if t.Network != nil {
		return ""
	}
	return fmt.Sprintf("how %s is reached is not recorded", t)
}

// parseNFS reads HOST:/PATH, as mount(8) does: an address of IPv6 is in brackets.
func parseNFS(rest string) (Target, error) {
	host, dir, ok := strings.Cut(rest, ":/")
	if inner, v6 := strings.CutPrefix(rest, "["); v6 {
		if host, dir, ok = strings.Cut(inner, "]:/"); !ok {
			return Target{}, errors.New("an address of IPv6 is in brackets, and a path follows: nfs:[2001:db8::1]:/PATH")
		}
	}
	if !ok {
		return Target{}, errors.New("it has no path: nfs:HOST:/PATH")
	}
	if strings.Contains(host, ":") && rest[0] != '[' {
		return Target{}, fmt.Errorf("%q is no name of a host; an address of IPv6 is in brackets: nfs:[2001:db8::1]:/PATH", host)
	}
	return Target{Server: host, Path: path.Clean(blkid.Unescape("/" + dir))}, nil
}

func bracketed(host string) string {
	if strings.Contains(host, ":") {
		return "[" + host + "]"
	}
	return host
}

func validNFS(t Target) error {
	if err := validHost(t.Server); err != nil {
		return err
	}
	if err := validPath(t.Path); err != nil {
		return err
	}
	if len(t.Path) > maxNFSPath {
		return fmt.Errorf("a path of %d bytes; NFS takes %d", len(t.Path), maxNFSPath)
	}
	if strings.ContainsAny(t.Machine, "/\x00") || t.Machine == "." || t.Machine == ".." || len(t.Machine) > 255 {
		return fmt.Errorf("machine %q is no name of a directory", t.Machine)
	}
	_, err := nfsVersions(t.MountOptions)
	return err
}

// maxNFSPath is NFS_MAXPATHLEN (include/uapi/linux/nfs.h).
const maxNFSPath = 1024

// validHost checks a name or an address of a host.
func validHost(host string) error {
	if _, err := netip.ParseAddr(host); err == nil {
		return nil
	}
	bad := strings.ContainsFunc(host, func(c rune) bool {
		return (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '-' && c != '.' && c != '_'
	})
	if host == "" || len(host) > 255 || bad || host[0] == '-' || host[0] == '.' {
		return fmt.Errorf("%q is no name or address of a host", host)
	}
	return nil
}

// nfsVersion is a version of the protocol, as an option names it, and what the kernel needs for it.
type nfsVersion struct{ name, fstype, module string }

// nfsVersionTable has the newest first.
var nfsVersionTable = [...]nfsVersion{{"4.2", "nfs4", "nfsv4"}, {"4.1", "nfs4", "nfsv4"}, {"4.0", "nfs4", "nfsv4"}, {"3", "nfs", "nfsv3"}}

// nfsOwn are the options that a capture sets itself, and nfsAbsent those of what it does not have.
var (
	nfsOwn    = [...]string{"addr", "clientaddr", "mountaddr", "soft", "softerr", "hard", "timeo", "retrans", "retry", "bg", "fg", "nolock", "lock", "ro", "rw"}
	nfsAbsent = [...]string{"krb5", "krb5i", "krb5p", "rdma"}
)

// nfsVersions are the versions to try, the first first: those that options allow. What a capture can't do is an error.
func nfsVersions(options string) ([]nfsVersion, error) {
	versions := nfsVersionTable[:]
	for option := range strings.SplitSeq(options, ",") {
		name, value, _ := strings.Cut(option, "=")
		switch {
		case slices.Contains(nfsOwn[:], name):
			return nil, fmt.Errorf("NFS option %q: gokexec sets it itself, so that a server that hangs ends the capture to it", option)
		case slices.Contains(nfsAbsent[:], value):
			return nil, fmt.Errorf("NFS option %q: the capture kernel has neither Kerberos nor RDMA", option)
		case name == "xprtsec" && value != "none":
			return nil, fmt.Errorf("NFS option %q: the program that TLS needs does not run in the capture kernel", option)
		case name == "vers" || name == "nfsvers":
			versions = nil
			for _, v := range nfsVersionTable {
				if v.name == value || value == "4" && v.fstype == "nfs4" {
					versions = append(versions, v)
				}
			}
			if versions == nil {
				return nil, fmt.Errorf("NFS version %q; want 4.2, 4.1, 4.0, 4 or 3", value)
			}
		}
	}
	return versions, nil
}

// otherOptions are those that the kernel is given in addition to a capture's own.
func otherOptions(options string) string {
	var kept []string
	for option := range strings.SplitSeq(options, ",") {
		if name, _, _ := strings.Cut(option, "="); name != "vers" && name != "nfsvers" && name != "" {
			kept = append(kept, option)
		}
	}
	return strings.Join(kept, ",")
}

// nfsModules are those of the versions that may be used: a capture kernel has no modprobe to bring them later.
func nfsModules(t Target) (required, optional []string) {
	versions, err := nfsVersions(t.MountOptions)
	if err != nil {
		return nil, nil // Validate has said it
	}
	for _, v := range versions {
		if !slices.Contains(optional, v.module) {
			optional = append(optional, v.module)
		}
	}
	if len(optional) == 1 {
		return append([]string{"nfs"}, optional...), nil
	}
	return []string{"nfs"}, optional
}

// nfsRetries is how often a request is sent again before it fails (nfs(5), retrans).
const nfsRetries = 2

// nfsData is the data of mount(2) for a version (fs/nfs/fs_context.c). The kernel waits for an answer for timeo, then
// twice and then three times as long: together, for limit.
func nfsData(v nfsVersion, addr netip.Addr, options string, limit time.Duration) string {
	timeo := max(int(limit/(100*time.Millisecond))/6, 1) // tenths of a second
	data := fmt.Sprintf("vers=%s,addr=%s,soft,timeo=%d,retrans=%d", v.name, addr, timeo, nfsRetries)
	if v.fstype == "nfs" {
		data += ",nolock"
	}
	return joinOptions(data, otherOptions(options))
}

// mountNFS mounts the target's directory: the newest version that the server has, by the first address that answers.
func (o *opening) mountNFS(ctx context.Context) error {
	dialer, err := o.network(ctx)
	if err != nil {
		return err
	}
	addresses, err := dialer.Addresses(ctx, o.target.Server)
	if err != nil {
		return err
	}
	if err := mkdirAll(o.sys, "/", o.mountPoint, 0o755); err != nil {
		return err
	}
	err = o.mountAny(addresses)
	if err != nil && dialer.Record != nil && unanswered(err) {
		// It may have another address by now.
		if found, lookupErr := dialer.Lookup(ctx, o.target.Server); lookupErr == nil {
			found = slices.DeleteFunc(found, func(a netip.Addr) bool { return slices.Contains(addresses, a) })
			if len(found) > 0 {
				o.say("%v; trying what the name server says", err)
				err = o.mountAny(found)
			}
		}
	}
	return err
}

// unanswered reports whether an error means that nothing answers at an address.
func unanswered(err error) bool {
	return errors.Is(err, syscall.ETIMEDOUT) || errors.Is(err, syscall.EHOSTUNREACH) || errors.Is(err, syscall.ENETUNREACH) ||
		errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, syscall.EHOSTDOWN) || errors.Is(err, network.ErrSilent)
}

func (o *opening) mountAny(addresses []netip.Addr) error {
	var errs []error
	for _, a := range addresses {
		err := o.mountAt(a)
		if err == nil || !unanswered(err) {
			return err
		}
		errs = append(errs, err)
		o.touch()
	}
	return errors.Join(errs...)
}

// mountAt tries the versions at an address.
func (o *opening) mountAt(addr netip.Addr) error {
	versions, err := nfsVersions(o.target.MountOptions)
	if err != nil {
		return err
	}
	source := bracketed(o.target.Server) + ":" + o.target.Path
	var first error
	for _, v := range versions {
		begin := time.Now()
		err := o.sys.Mount(source, o.mountPoint, v.fstype, nfsData(v, addr, o.target.MountOptions, o.cfg.networkTimeout()))
		if err == nil {
			o.say("network: %s answers as NFS %s (%s), after %v", o.target.Server, v.name, addr, time.Since(begin).Round(10*time.Millisecond))
			return nil
		}
		err = explainNFS(fmt.Errorf("NFS %s at %s: %w", v.name, addr, err), v)
		o.touch()
		if first == nil || errors.Is(first, syscall.EPROTONOSUPPORT) || errors.Is(first, syscall.ENODEV) {
			first = err
		}
		if errors.Is(err, syscall.ETIMEDOUT) || errors.Is(err, syscall.EHOSTUNREACH) || errors.Is(err, syscall.ENETUNREACH) {
			break // another version would wait as long
		}
	}
	return first
}

func explainNFS(err error, v nfsVersion) error {
	switch {
	case errors.Is(err, syscall.EACCES), errors.Is(err, syscall.EPERM):
		return fmt.Errorf("%w (the server does not export it to this machine; see exports(5))", err)
	case errors.Is(err, syscall.ENOENT), errors.Is(err, syscall.ENOTDIR):
		return fmt.Errorf("%w (the server has no such directory, or does not export it)", err)
	case errors.Is(err, syscall.ECONNREFUSED):
		return fmt.Errorf("%w (no NFS server runs there)", err)
	case errors.Is(err, syscall.ETIMEDOUT):
		return fmt.Errorf("%w (the server does not answer)", err)
	case errors.Is(err, syscall.EPROTONOSUPPORT):
		return fmt.Errorf("%w (the server does not have this version)", err)
	case errors.Is(err, syscall.ENODEV):
		return fmt.Errorf("%w (this kernel has no NFS client loaded)", err)
	case errors.Is(err, syscall.EINVAL):
		return fmt.Errorf("%w (an option that this kernel does not know, or no module %s)", err, v.module)
	}
	return err
}

// nfsFiles mounts the directory, whose files end when the server stops answering. unmount does not wait for it then.
func (o *opening) nfsFiles(ctx context.Context) (files *hostFiles, unmount func() error, err error) {
	// The mount may hang; what it leaves behind is detached.
	o.standing.set(func() error { return o.sys.Detach(o.mountPoint) })
	if err := o.mountNFS(ctx); err != nil {
		o.standing.set(nil)
		return nil, nil, err
	}
	files = &hostFiles{Files: o.sys}
	return files, func() error {
		defer o.standing.set(nil)
		if files.gone() != nil {
			return o.sys.Detach(o.mountPoint)
		}
		return o.sys.Unmount(o.mountPoint)
	}, nil
}

// openNFS mounts the directory, and makes the dump's in it.
func openNFS(ctx context.Context, o *opening) (sink, error) {
	files, unmount, err := o.nfsFiles(ctx)
	if err != nil {
		return nil, err
	}
	dir, err := o.machineDir(files)
	if err != nil {
		return nil, errors.Join(err, unmount())
	}
	s, err := newDirectory(files, dir, o.mountPoint, o.when, o.cfg.reserve(), o.keepDumps())
	if err != nil {
		return nil, errors.Join(explainWrite(err), unmount())
	}
	s.after = unmount
	return s, nil
}

// machineDir makes the directory of this machine's dumps.
func (o *opening) machineDir(files Files) (string, error) {
	if o.target.Machine == "" {
		return o.mountPoint, nil
	}
	dir := path.Join(o.mountPoint, o.target.Machine)
	if err := files.Mkdir(dir, 0o700); err != nil && !errors.Is(err, syscall.EEXIST) {
		return "", explainWrite(err)
	}
	return dir, nil
}

func explainWrite(err error) error {
	if errors.Is(err, syscall.EACCES) || errors.Is(err, syscall.EPERM) {
		return fmt.Errorf("%w (on the server, root of this machine may not write there: see no_root_squash in exports(5), or give the directory to the user that root becomes)", err)
	}
	if errors.Is(err, syscall.EROFS) {
		return fmt.Errorf("%w (the server exports it read-only)", err)
	}
	return err
}
