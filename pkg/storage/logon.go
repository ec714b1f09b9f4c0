package storage

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/gokexec/gokexec/internal/keyring"
	"github.com/gokexec/gokexec/pkg/stack"
)

// Logons are the keys of type logon in root's keyrings, which no program can read (keyrings(7)).
type Logons interface {
	// Find tells how many bytes a key has, 0 if that can't be seen. It wraps ENOKEY or its like if there is none of use.
	Find(description string) (size int, err error)
	// Add puts a key into root's user keyring, in the place of one of the same description.
	Add(description string, key []byte) error
}

// What the kernel can hand over (kernel/crash_dump_dm_crypt.c: KEY_SIZE_MAX; KEY_DESC_MAX_LEN, of which strscpy keeps a NUL).
const (
	maxHandedKey         = 256
	maxHandedDescription = 127
)

// HandOverOptions are how HandOver goes about it.
type HandOverOptions struct {
	// Dry adds no key.
	Dry bool
	// Loaded are descriptions that need not be found: the kernel has these keys in crash memory, and may load them again
	// from there.
	Loaded []string
}

// HandOver finds the key of type logon by which the kernel can hand the volume's key over to a capture kernel in crash memory:
// the one that was put into root's keyring for this, or the volume's own. The key that a table shows it adds. The result is where the capture kernel finds it. An error quotes nothing of a key.
func (m *Machine) HandOver(k Key, o HandOverOptions) (stack.CryptKey, error) {
	fail := func(err error) (stack.CryptKey, error) {
		return stack.CryptKey{}, &Refusal{What: fmt.Sprintf("%s is encrypted: %v", k.Map, err), err: err, Instead: takeDisk}
	}
	if k.crypt.Size > maxHandedKey {
		return fail(fmt.Errorf("its key has %d bytes; the kernel hands over at most %d", k.crypt.Size, maxHandedKey))
	}
	description := "gokexec:" + k.Name
	if k.crypt.Kind == stack.KeyInTable {
		if len(description) > maxHandedDescription {
			return fail(fmt.Errorf("its name is too long for the description of a key, %d bytes with what is before it; want at most %d", len(description), maxHandedDescription))
		}
		if o.Dry {
			return stack.RestoredKey(description, k.crypt.Size), nil
		}
		if err := m.opt.Logons.Add(description, k.crypt.Secret()); err != nil {
			return fail(fmt.Errorf("add its key to root's keyring as %q: %w", description, err))
		}
		return stack.RestoredKey(description, k.crypt.Size), nil
	}
	candidates := []string{description}
	if k.crypt.Kind == stack.KeyLogon {
		candidates = append(candidates, k.crypt.Description)
	}
	var all error
	for _, c := range candidates {
		size, err := m.opt.Logons.Find(c)
		switch {
		case len(c) > maxHandedDescription:
			err = fmt.Errorf("a description of %d bytes; want at most %d", len(c), maxHandedDescription)
		case err == nil && size != 0 && size != k.crypt.Size:
			err = fmt.Errorf("it has %d bytes; want %d", size, k.crypt.Size)
		case err == nil || slices.Contains(o.Loaded, c):
			return stack.RestoredKey(c, k.crypt.Size), nil
		}
		all = errors.Join(all, fmt.Errorf("the logon key %q: %w", c, err))
	}
	return stack.CryptKey{}, &Refusal{err: all,
		What:    fmt.Sprintf("%s is encrypted, and its key is in no keyring where a load finds it: %s", k.Map, strings.ReplaceAll(all.Error(), "\n", "; ")),
		Instead: fmt.Sprintf("hand it over: cryptsetup open --test-passphrase /dev/%s --link-vk-to-keyring '@u::%%logon:%s' (cryptsetup 2.7)", k.Device, description)}
}

// kernelLogons are those of the running kernel.
type kernelLogons struct{}

func (kernelLogons) Find(description string) (int, error) {
	// Which keyrings a thread has counts, and the session's may be missing (as of a process that init has started).
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	id, err := keyring.Find("logon", description)
	if err != nil {
		return 0, err
	}
	b, err := os.ReadFile("/proc/keys")
	if err != nil {
		return 0, nil
	}
	return logonSize(string(b), id), nil
}

func (kernelLogons) Add(description string, key []byte) error {
	_, err := unix.AddKey("logon", description, key, unix.KEY_SPEC_USER_KEYRING)
	return err
}

// logonSize is the size of a key by its serial number, as /proc/keys tells it; 0 if it does not
// (security/keys/proc.c, proc_keys_show; user_defined.c, user_describe: "DESCRIPTION: SIZE").
func logonSize(keys string, id int) int {
	for line := range strings.Lines(keys) {
		serial, _, _ := strings.Cut(line, " ")
		if n, err := strconv.ParseUint(serial, 16, 32); err != nil || n != uint64(uint32(id)) {
			continue
		}
		size, err := strconv.ParseUint(strings.TrimSpace(line[strings.LastIndexByte(line, ':')+1:]), 10, 16)
		if err != nil {
			return 0
		}
		return int(size)
	}
	return 0
}
