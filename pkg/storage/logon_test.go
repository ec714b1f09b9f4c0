package storage

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/gokexec/gokexec/pkg/capture"
	"github.com/gokexec/gokexec/pkg/stack"
)

// logons are keys by their descriptions: their sizes, or what was added.
type logons struct {
	sizes map[string]int
	added map[string]string
}

func (l *logons) Find(description string) (int, error) {
	if size, ok := l.sizes[description]; ok {
		return size, nil
	}
	return 0, unix.ENOKEY
}

func (l *logons) Add(description string, key []byte) error {
	l.added[description] = fmt.Sprintf("%x", key)
	return nil
}

func TestHandOver(t *testing.T) {
	const fromKeyring = ":64:logon:cryptsetup:7c8b-d0"
	for _, tt := range []struct {
		name, word string
		keys       map[string]int
		options    HandOverOptions
		want       string // description
		says       string
		added      bool
	}{
		{name: "put there for this", word: fromKeyring, keys: map[string]int{"gokexec:luks-x": 64, "cryptsetup:7c8b-d0": 64}, want: "gokexec:luks-x"},
		{name: "its own", word: fromKeyring, keys: map[string]int{"cryptsetup:7c8b-d0": 64}, want: "cryptsetup:7c8b-d0"},
		{name: "a size that is not known", word: fromKeyring, keys: map[string]int{"gokexec:luks-x": 0}, want: "gokexec:luks-x"},
		{name: "an old one has another size", word: fromKeyring, keys: map[string]int{"gokexec:luks-x": 32}, says: "it has 32 bytes; want 64"},
		{name: "nowhere", word: fromKeyring, says: "in no keyring where a load finds it"},
		{name: "in crash memory", word: fromKeyring, options: HandOverOptions{Loaded: []string{"gokexec:luks-x"}}, want: "gokexec:luks-x"},
		{name: "of a trusted key", word: ":64:trusted:kmk", keys: map[string]int{"kmk": 64}, says: "in no keyring where a load finds it"},
		{name: "in the table", word: secret, want: "gokexec:luks-x", added: true},
		{name: "in the table, dry", word: secret, options: HandOverOptions{Dry: true}, want: "gokexec:luks-x"},
		{name: "large", word: strings.Repeat("00", 257), says: "at most 256"},
		{name: "a long description", word: ":64:logon:a:" + strings.Repeat("x", 126), keys: map[string]int{"a:" + strings.Repeat("x", 126): 64}, says: "want at most 127"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := newBench(t)
			luks(b, tt.word, ext4())
			onData(b, "dm-0")
			r, err := b.Resolve(t.Context(), capture.Target{Type: capture.TargetDirectory, Path: "/data/crash"})
			if err != nil || len(r.Keys) != 1 {
				t.Fatalf("%+v, %v; want a key", r, err)
			}
			keys := &logons{tt.keys, map[string]string{}}
			b.opt.Logons = keys
			k, err := b.HandOver(r.Keys[0], tt.options)
			if tt.says != "" {
				var refusal *Refusal
				if !errors.As(err, &refusal) || !strings.Contains(err.Error(), tt.says) || refusal.Instead == "" || strings.Contains(err.Error(), secret) {
					t.Fatalf("HandOver = %v, %v; want a refusal that says %q, and what to do instead", k, err, tt.says)
				}
				return
			}
			if err != nil || k.Description != tt.want || k.Secret() != nil {
				t.Fatalf("HandOver = %v, %v; want the key %q, without it", k, err, tt.want)
			}
			s, err := r.Target.Stack.WithKeys(func(string) stack.CryptKey { return k })
			if err != nil || len(s.RestoredKeys()) != 1 {
				t.Errorf("described as %v, %v", s, err)
			}
			if got := keys.added["gokexec:luks-x"]; (got == secret) != tt.added || len(keys.added) > 0 != tt.added {
				t.Errorf("added %q; want it: %v", keys.added, tt.added)
			}
		})
	}
	var refusal *Refusal
	b := newBench(t)
	b.opt.Logons = &logons{}
	if _, err := b.HandOver(Key{Name: "x", Map: "x", Device: "sda2"}, HandOverOptions{}); !errors.As(err, &refusal) || !strings.Contains(refusal.Instead, "'@u::%logon:gokexec:x'") {
		t.Errorf("HandOver = %v; want how to hand it over", err)
	}
}

const procKeys = `0f9a9bb1 I--Q---     1 perm 3f010000     0     0 logon     gokexec:c-luks2: 64
1ab6ea4f I--Q---     2 perm 1f3f0000     0 65534 keyring   _uid.0: 1
2b31f6a0 I--Q---     1 perm 3f010000     0     0 user      a: 7
`

func TestLogonSize(t *testing.T) {
	for id, want := range map[int]int{0x0f9a9bb1: 64, 0x2b31f6a0: 7, 0x1ab6ea4f: 1, 5: 0} {
		if got := logonSize(procKeys, id); got != want {
			t.Errorf("%x: %d bytes; want %d", id, got, want)
		}
	}
}

// The size is that of a line that begins with the key's number and ends in it.
func FuzzLogonSize(f *testing.F) {
	f.Add(procKeys, 0x0f9a9bb1)
	f.Fuzz(func(t *testing.T, keys string, id int) {
		size := logonSize(keys, id)
		if size < 0 || size > 65535 {
			t.Fatal(size)
		}
		if size > 0 && !strings.Contains(keys, fmt.Sprint(size)) {
			t.Fatalf("%d is not in %q", size, keys)
		}
	})
}
