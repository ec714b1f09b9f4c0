package storage

import (
	"encoding/hex"
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/gokexec/gokexec/internal/keyring"
	"github.com/gokexec/gokexec/pkg/stack"
)

// Key is that of an encrypted volume (dm-crypt) below a target: the capture kernel needs it.
type Key struct {
	// Name is what Target.Stack calls it.
	Name string
	// Map is the name of the volume's map, and Device what it lies on, as the kernel calls it.
	Map, Device string

	crypt stack.CryptKey
}

// Description is that of the key of type user in which root hands over the key of a volume that the kernel has from a
// keyring, where nobody can read it.
func (k Key) Description() string { return "gokexec:" + k.Map }

// ErrNoKey means that the key of a volume can be had from nowhere.
var ErrNoKey = errors.New("its key can't be read")

// Keyring looks for a key of type user in root's user keyring (keyrings(7)), and returns it. It wraps ENOKEY if there is
// none.
type Keyring func(description string) ([]byte, error)

// Secret returns the key itself: from the table of the map, which shows it to root, or from root's user keyring. It is
// for the capture's memory alone, and never for a file. An error quotes nothing of it.
func (m *Machine) Secret(k Key) ([]byte, error) {
	if k.crypt.Kind == stack.KeyInTable {
		return k.crypt.Secret(), nil
	}
	key, err := m.opt.Keyring(k.Description())
	if err != nil {
		err = fmt.Errorf("%w: the kernel does not give out a key of type %s, and the user key %q: %w", ErrNoKey, k.crypt.Kind, k.Description(), err)
	} else if len(key) != k.crypt.Size {
		err = fmt.Errorf("%w: the user key %q has %d bytes; want %d", ErrNoKey, k.Description(), len(key), k.crypt.Size)
	}
	if err != nil {
		return nil, &Refusal{What: fmt.Sprintf("%s is encrypted: %v", k.Map, err), err: err,
			Instead: fmt.Sprintf("hand it over: cryptsetup open --test-passphrase /dev/%s --link-vk-to-keyring '@u::%%user:%s' (cryptsetup 2.7)", k.Device, k.Description())}
	}
	return key, nil
}

// userKey is the kernel's Keyring.
func userKey(description string) ([]byte, error) {
	key, size := make([]byte, stack.MaxKey), 0
	err := keyring.WithUser(func() error {
		id, err := unix.KeyctlSearch(unix.KEY_SPEC_USER_KEYRING, "user", description, 0)
		if err == nil {
			size, err = unix.KeyctlBuffer(unix.KEYCTL_READ, id, key, 0)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	if size > len(key) {
		return nil, fmt.Errorf("%d bytes; want at most %d", size, len(key))
	}
	return key[:size], nil
}

// crypt describes a row of type crypt: the key is left out.
func (w *walk) crypt(n *node, row stack.Row) stack.Row {
	m := n.layer.Map
	k, err := stack.ReadCryptKey(row)
	if err != nil {
		n.refuse(takeDisk, "%s (%s) is encrypted: %v", m.Name, n.node(), err)
		return withoutArgs(row)
	}
	if why, instead := stack.Refused(row); why != "" {
		n.refuse(instead, "%s (%s) can't be there in the capture kernel: %s", m.Name, n.node(), why)
		return withoutArgs(row)
	}
	row = stack.Clone(row)
	if k.Kind == stack.KeyNone {
		return row
	}
	key := &Key{Name: m.Name, Map: m.Name, crypt: k}
	if !stack.KeyName(key.Name) {
		key.Name = hex.EncodeToString([]byte(m.Name))
	}
	if row, err = stack.WithCryptKey(row, stack.CryptKey{Kind: stack.KeyApart, Description: key.Name}); err != nil {
		n.refuse(takeDisk, "%s (%s) is encrypted: %v", m.Name, n.node(), err)
		return withoutArgs(row)
	}
	n.key = key
	return row
}
