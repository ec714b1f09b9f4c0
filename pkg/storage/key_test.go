package storage

import (
	"encoding/hex"
	"fmt"
	"strings"
	"testing"

	"github.com/gokexec/gokexec/pkg/capture"
)

// luks is a LUKS2 volume on sda2, open as dm-0, that holds something. key is its word in the table.
func luks(b *bench, key string, content func([]byte)) {
	b.partition("sda", 2, bytesAt(0, "LUKS\xba\xbe\x00\x02"), bytesAt(168, otherUUID))
	b.mapped(0, "luks-x", "CRYPT-LUKS2-x", []string{"0 4096 crypt aes-xts-plain64 " + key + " 0 {sda2} 32768"}, content)
}

// secret is a key.
const secret = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"

// An encrypted volume is taken if the caller has its key: without that in the table.
func TestStackCrypt(t *testing.T) {
	b := newBench(t)
	luks(b, secret, ext4())
	onData(b, "dm-0")
	r, err := b.Resolve(t.Context(), capture.Target{Type: capture.TargetDirectory, Path: "/data/crash"})
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "crypt", r.Target)
	if text := fmt.Sprintf("%+v %#v %s", r, r.Keys, text(t, r)); strings.Contains(text, secret) {
		t.Error("the key shows in what is resolved")
	}
	if got := strings.Join(r.Modules, " "); got != "dm-mod dm-crypt" {
		t.Errorf("modules %s", got)
	}
	if got := strings.Join(r.Ciphers, " "); got != "crypto-aes crypto-xts crypto-plain64" {
		t.Errorf("ciphers %s", got)
	}
	if len(r.Keys) != 1 || r.Keys[0].Map != "luks-x" || r.Keys[0].Device != "sda2" {
		t.Fatalf("keys %v; want that of luks-x on sda2", r.Keys)
	}
	if key, err := b.Secret(r.Keys[0]); err != nil || hex.EncodeToString(key) != secret {
		t.Errorf("the key is %d bytes, %v; want that of the table", len(key), err)
	}
}
