package stack

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"
)

const hexKey = "00112233445566778899aabbccddeeff"

func TestCryptKey(t *testing.T) {
	for _, c := range []struct {
		word, kind, description string
		size                    int
	}{
		{hexKey, "table", "", 16},
		{":64:logon:cryptsetup:7c8b49f2-d0", "logon", "cryptsetup:7c8b49f2-d0", 64},
		{":64:user:8:0", "user", "8:0", 64},
		{":32:encrypted:disk", "encrypted", "disk", 32},
		{":32:trusted:disk", "trusted", "disk", 32},
		{"-", "none", "", 0},
	} {
		row := Row{0, 8, "crypt", "aes-xts-plain64 " + c.word + " 0 8:2 32768 1 allow_discards"}
		k, err := ReadCryptKey(row)
		if err != nil || string(k.Kind) != c.kind || k.Description != c.description || k.Size != c.size {
			t.Errorf("%s: %#v, %v", c.word, k, err)
		}
		if again, err := WithCryptKey(Row{0, 8, "crypt", "aes-xts-plain64 - 0 8:2 32768 1 allow_discards"}, k); err != nil || again != row {
			t.Errorf("%s: written as %q, %v", c.word, again.Args, err)
		}
	}
	for _, word := range []string{":64", ":64:", ":64:logon", ":64:logon:", ":0:logon:x", ":+1:logon:x", ":99999:logon:x", ":x:logon:y", "::logon:x", ":64:Logon:x", "0g", "0", strings.Repeat("00", MaxKey+1)} {
		k, err := ReadCryptKey(Row{0, 8, "crypt", "aes-xts-plain64 " + word + " 0 8:2 0"})
		if err == nil || k.Kind != "" {
			t.Errorf("%q: %v", word, k)
		}
	}
	for _, row := range []Row{{Type: "linear", Args: "8:2 0"}, {Type: "crypt", Args: "aes 00 0 8:2"}} {
		if _, err := ReadCryptKey(row); err == nil {
			t.Errorf("the key of %+v", row)
		}
		if _, err := WithCryptKey(row, TableKey([]byte{1})); err == nil {
			t.Errorf("a key for %+v", row)
		}
	}
	row := Row{0, 8, "crypt", "aes-xts-plain64 - 0 8:2 0"}
	for _, k := range []CryptKey{{}, {Kind: KeyInTable, Size: 4}, {Kind: KeyUser, Size: 4}, {Kind: KeyUser, Description: "x"}, {Kind: KeyUser, Size: 4, Description: "a b"}} {
		if got, err := WithCryptKey(row, k); err == nil {
			t.Errorf("%v: %q", k, got.Args)
		}
	}
}

// TestCryptKeyIsNotPrinted prints a key in all ways that come to mind.
func TestCryptKeyIsNotPrinted(t *testing.T) {
	row := Row{0, 8, "crypt", "aes-xts-plain64 " + hexKey + " 0 8:2 32768"}
	k, err := ReadCryptKey(row)
	if err != nil || fmt.Sprintf("%x", k.Secret()) != hexKey {
		t.Fatal(k, err)
	}
	var out bytes.Buffer
	for _, v := range []any{k, &k, []CryptKey{k}, map[string]CryptKey{"k": k}, struct{ K CryptKey }{k}, struct{ k *CryptKey }{&k}, struct{ k CryptKey }{k}, k.secret} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%T"} {
			fmt.Fprintf(&out, verb+"\n", v)
		}
		b, _ := json.Marshal(v)
		out.Write(b)
	}
	slog.New(slog.NewTextHandler(&out, nil)).Info("key", "key", k, "pointer", &k)
	slog.New(slog.NewJSONHandler(&out, nil)).Info("key", "key", k)
	for _, args := range []string{"aes " + hexKey + "g 0 8:2 0", "aes " + hexKey + " x 8:2 0", "aes " + hexKey + " 0 sda 0", hexKey, "aes " + hexKey + " 0 8:2 0 1 " + hexKey} {
		why, instead := Refused(Row{0, 8, "crypt", args})
		_, err := ReadCryptKey(Row{0, 8, "crypt", args})
		if why == "" {
			t.Errorf("%q is not refused", args)
		}
		fmt.Fprintln(&out, why, instead, err)
	}
	decimal := strings.Trim(fmt.Sprint(k.Secret()), "[]")
	for _, form := range []string{hexKey, strings.ToUpper(hexKey), decimal, string(k.Secret()), "0x0, 0x11, 0x22", hexKey[8:24], "ABEiM0RVZneImaq7zN3u/w"} {
		if strings.Contains(out.String(), form) {
			t.Errorf("a key is printed, such as %q", form)
		}
	}
	if got := fmt.Sprint(k); got != "a key of 16 bytes in the table" {
		t.Error(got)
	}
}

func FuzzCryptKey(f *testing.F) {
	for _, word := range []string{hexKey, ":64:logon:cryptsetup:x", "-", ":32:trusted:disk"} {
		f.Add(word)
	}
	f.Fuzz(func(t *testing.T, word string) {
		row := Row{0, 8, "crypt", "aes-xts-plain64 " + word + " 0 8:2 32768"}
		if why, _ := Refused(row); why != "" {
			return
		}
		k, err := ReadCryptKey(row)
		if err != nil {
			t.Fatalf("not refused, but %v", err)
		}
		again, err := WithCryptKey(row, k)
		if err != nil || !strings.EqualFold(again.Args, strings.Join(strings.Fields(row.Args), " ")) {
			t.Fatalf("%q becomes %q, %v", row.Args, again.Args, err)
		}
		if strings.Contains(fmt.Sprintf("%v %+v %#v %s", k, k, k, k), word) && k.Kind == KeyInTable && len(word) > 2 {
			t.Fatalf("printed: %v", k)
		}
	})
}
