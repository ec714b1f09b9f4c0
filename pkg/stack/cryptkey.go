package stack

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// KeyKind is where a crypt target has its key from.
type KeyKind string

// The forms of a key in a table (drivers/md/dm-crypt.c: crypt_set_key, crypt_set_keyring_key).
const (
	KeyNone      KeyKind = "none"      // "-": the cipher has none
	KeyInTable   KeyKind = "table"     // in hexadecimal digits: the key itself
	KeyLogon     KeyKind = "logon"     // of the keyring; no program can read it
	KeyUser      KeyKind = "user"      // of the keyring
	KeyEncrypted KeyKind = "encrypted" // of the keyring
	KeyTrusted   KeyKind = "trusted"   // of the keyring
	// KeyApart is none of the kernel's: the key is kept apart from the description (see [System]), and the table has its
	// name behind a dollar sign.
	KeyApart KeyKind = "apart"
)

// CryptKey is the key of a crypt target, or where the kernel finds it. Printing it in whatever way prints no key.
type CryptKey struct {
	Kind        KeyKind
	Size        int    // bytes
	Description string // of a key of the keyring; the name of one that is kept apart
	// secret returns the key. A function, since package fmt prints whatever else it finds within an unexported field of
	// another type, past all methods.
	secret func() []byte
}

// MaxKey is the most that dm-crypt can use, in bytes, and more than any cipher needs. A keyring's keys have 32767 bytes at most.
const MaxKey = 4096

// TableKey is a key that stands in the table.
func TableKey(key []byte) CryptKey {
	key = bytes.Clone(key)
	return CryptKey{Kind: KeyInTable, Size: len(key), secret: func() []byte { return bytes.Clone(key) }}
}

// Secret is the key itself, where it is in the table; nil elsewhere. It is for add_key(2) and for a table, never for a
// message, a log or a file.
func (k CryptKey) Secret() []byte {
	if k.secret == nil {
		return nil
	}
	return k.secret()
}

// Format implements [fmt.Formatter]: what the key is, without it.
func (k CryptKey) Format(s fmt.State, _ rune) {
	switch k.Kind {
	case KeyNone, "":
		fmt.Fprint(s, "no key")
	case KeyInTable:
		fmt.Fprintf(s, "a key of %d bytes in the table", k.Size)
	case KeyApart:
		fmt.Fprintf(s, "the key %s", k.Description)
	default:
		fmt.Fprintf(s, "the %s key %q of %d bytes", string(k.Kind), k.Description, k.Size)
	}
}

var errKey = errors.New("no key of a crypt target")

// ReadCryptKey reads the key of a row of type crypt. The error quotes nothing of the row.
func ReadCryptKey(row Row) (CryptKey, error) {
	words := strings.Fields(row.Args)
	if row.Type != "crypt" || len(words) < 5 {
		return CryptKey{}, fmt.Errorf("%w: a row of type %q with %d words", errKey, row.Type, len(words))
	}
	return parseKey(words[1])
}

func parseKey(word string) (CryptKey, error) {
	if word == "-" {
		return CryptKey{Kind: KeyNone}, nil
	}
	if name, apart := strings.CutPrefix(word, "$"); apart {
		if !KeyName(name) {
			return CryptKey{}, fmt.Errorf("%w: the name of a key", errKey)
		}
		return CryptKey{Kind: KeyApart, Description: name}, nil
	}
	rest, keyring := strings.CutPrefix(word, ":")
	if !keyring {
		key, err := hex.DecodeString(word)
		if err != nil || len(key) == 0 || len(key) > MaxKey {
			return CryptKey{}, fmt.Errorf("%w: %d characters that are no hexadecimal digits, or too many", errKey, len(word))
		}
		return TableKey(key), nil
	}
	size, rest, _ := strings.Cut(rest, ":")
	kind, description, _ := strings.Cut(rest, ":")
	n, err := strconv.Atoi(size)
	if err != nil || !digits(size) || n < 1 || n > MaxKey {
		return CryptKey{}, fmt.Errorf("%w: the size of a key of the keyring", errKey)
	}
	k := CryptKey{Kind: KeyKind(kind), Size: n, Description: description}
	if !k.ofKeyring() {
		return CryptKey{}, fmt.Errorf("%w: a kind of key that gokexec does not know", errKey)
	}
	return k, nil
}

func (k CryptKey) ofKeyring() bool {
	switch k.Kind {
	case KeyLogon, KeyUser, KeyEncrypted, KeyTrusted:
		return k.Description != "" && !strings.ContainsFunc(k.Description, func(r rune) bool { return r <= ' ' || r > '~' || r == '\\' })
	}
	return false
}

// KeyName reports whether a key that is kept apart may have a name: letters, digits, and . _ + - within.
func KeyName(name string) bool {
	return name != "" && len(name) <= 200 && name[0] != '.' && !strings.ContainsFunc(name, func(r rune) bool {
		return !strings.ContainsRune("._+-", r) && (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z')
	})
}

// WithCryptKey is a row of type crypt with another key, or another place to find it.
func WithCryptKey(row Row, k CryptKey) (Row, error) {
	if _, err := ReadCryptKey(row); err != nil {
		return Row{}, err
	}
	words := strings.Fields(row.Args)
	switch {
	case k.Kind == KeyNone:
		words[1] = "-"
	case k.Kind == KeyInTable && len(k.Secret()) > 0:
		words[1] = hex.EncodeToString(k.Secret())
	case k.Kind == KeyApart && KeyName(k.Description):
		words[1] = "$" + k.Description
	case k.ofKeyring() && k.Size > 0:
		words[1] = fmt.Sprintf(":%d:%s:%s", k.Size, string(k.Kind), k.Description)
	default:
		return Row{}, fmt.Errorf("%w: %v", errKey, k)
	}
	row.Args = strings.Join(words, " ")
	return row, nil
}

// RestoredKey is a key that the kernel takes over from a crashed one, by the description that a key of type logon had: it
// makes one of type user of it (kernel/crash_dump_dm_crypt.c, add_key_to_keyring).
func RestoredKey(description string, size int) CryptKey {
	return CryptKey{Kind: KeyUser, Size: size, Description: description}
}

// WithKeys is the description with other places to find the keys that are kept apart: find knows them by their names. s
// stays as it is.
func (s *Stack) WithKeys(find func(name string) CryptKey) (*Stack, error) {
	changed := *s
	changed.Layers = slices.Clone(s.Layers)
	for i, l := range changed.Layers {
		if l.Map == nil {
			continue
		}
		m := *l.Map
		m.Table = slices.Clone(m.Table)
		for n, row := range m.Table {
			if row.Type != "crypt" {
				continue
			}
			k, err := ReadCryptKey(row)
			if err == nil && k.Kind == KeyApart {
				m.Table[n], err = WithCryptKey(row, find(k.Description))
			}
			if err != nil {
				return nil, fmt.Errorf("layers[%d] (%s): %w", i, l.Name, err)
			}
		}
		changed.Layers[i].Map = &m
	}
	return &changed, nil
}

// RestoredKeys are the descriptions of the keys that a capture needs the crashed kernel to hand over, each once.
func (s *Stack) RestoredKeys() []string {
	var all []string
	for _, l := range s.Layers {
		if l.Map == nil {
			continue
		}
		for _, row := range l.Map.Table {
			if k, err := ReadCryptKey(row); err == nil && k.Kind == KeyUser && !slices.Contains(all, k.Description) {
				all = append(all, k.Description)
			}
		}
	}
	return all
}

var cryptOptions = [...]option{
	{name: "allow_discards"}, {name: "same_cpu_crypt"}, {name: "submit_from_crypt_cpus"}, {name: "no_read_workqueue"},
	{name: "no_write_workqueue"}, {name: "high_priority"}, {name: "sector_size:"}, {name: "iv_large_sectors"},
	{name: "integrity:"}, {name: "integrity_key_size:"},
}

// readCrypt: CIPHER KEY OFFSET DEVICE START, and options (dm-crypt.c, crypt_status). Where the key is to come from in the
// capture kernel is another decision: see [ReadCryptKey].
func readCrypt(r *rowReader) {
	r.word()
	if _, err := parseKey(r.word()); err != nil && r.why == "" {
		r.fail("%v", err)
	}
	r.number()
	r.device()
	r.number()
	r.options(cryptOptions[:], true)
}
