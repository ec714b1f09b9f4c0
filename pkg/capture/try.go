package capture

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path"
)

// Try finds out whether a dump could be saved to a target over the network, on the running system and by its network as
// it is: it writes, reads back and removes something small, where the dumps are to be. A directory that was made for
// that is removed again. Of opt, MountPoint is for it alone, and RemoteProgram counts.
func Try(ctx context.Context, cfg Config, t Target, opt Options, say func(format string, args ...any)) error {
	k, err := t.kind()
	if err != nil {
		return err
	}
	if k.remote == nil || k.remote.try == nil {
		return fmt.Errorf("target %s is not reached over the network", t)
	}
	t.Network = nil
	if err := t.Validate(); err != nil {
		return err
	}
	cfg = cfg.withDefaults()
	return tryWith(ctx, k, &opening{sys: NewSystem(), cfg: cfg, target: t, mountPoint: opt.MountPoint, program: opt.RemoteProgram, touch: func() {}, say: say, standing: &standing{}})
}

func tryWith(ctx context.Context, k targetKind, o *opening) error {
	_, err := within(ctx, o.cfg.stallTimeoutOf(o.target), "try "+o.target.String(), func() (struct{}, error) {
		return struct{}{}, k.remote.try(ctx, o)
	})
	if errors.Is(err, ErrStalled) {
		o.standing.takeDown(ctx, o.say, o.target.String())
	}
	if err != nil {
		return fmt.Errorf("target %s: %w", o.target, err)
	}
	return nil
}

// tryNFS mounts the directory and writes a file, as a capture would.
func tryNFS(ctx context.Context, o *opening) error {
	files, unmount, err := o.nfsFiles(ctx)
	if err != nil {
		return err
	}
	return errors.Join(tryDirectory(files, o), unmount())
}

// tryDirectory writes a file in the directory of this machine's dumps, reads it back and removes it.
func tryDirectory(files Files, o *opening) (err error) {
	root, err := files.Root(o.mountPoint)
	if err != nil {
		return err
	}
	defer root.Close()
	dir := "."
	if o.target.Machine != "" {
		dir = o.target.Machine
		switch made := root.Mkdir(dir, 0o700); {
		case made == nil:
			defer func() { err = errors.Join(err, root.Remove(dir)) }()
		case !errors.Is(made, os.ErrExist):
			return explainWrite(made)
		}
	}
	var content [64]byte
	_, _ = rand.Read(content[:]) // never fails (crypto/rand)
	name := path.Join(dir, fmt.Sprintf(".gokexec-check-%x", content[:8]))
	f, err := root.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return explainWrite(err)
	}
	_, err = f.Write(content[:])
	if err == nil {
		err = f.Sync()
	}
	err = errors.Join(err, f.Close())
	if err == nil {
		var back []byte
		back, err = root.ReadFile(name)
		if err == nil && !bytes.Equal(back, content[:]) {
			err = fmt.Errorf("%s: what was read back is not what was written", name)
		}
	}
	return errors.Join(err, root.Remove(name))
}
