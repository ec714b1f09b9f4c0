package stack

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
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

// A description takes another place for its keys, and stays as it is.
func TestStackKeys(t *testing.T) {
	const before = "aes-xts-plain64 $luks-a 0 @0 32768 1 allow_discards"
	s := &Stack{Version: Version, Tops: []Top{{Layer: 3}}, Layers: []Layer{
		{Name: "sda", Size: 1 << 20, Disk: &Disk{Ref: "WWID=a"}},
		{Name: "dm-0", Size: 1 << 19, Map: &Map{Name: "luks-a", Table: []Row{{0, 1024, "crypt", before}}}},
		{Name: "dm-1", Size: 1 << 19, Map: &Map{Name: "plain", Table: []Row{{0, 1024, "crypt", "null - 0 @1 0"}}}},
		{Name: "dm-2", Size: 1 << 18, Map: &Map{Name: "v", Table: []Row{{0, 512, "linear", "@2 0"}}}},
	}}
	changed, err := s.WithKeys(func(name string) CryptKey { return RestoredKey("gokexec:"+name, 64) })
	if err != nil || changed.Validate() != nil {
		t.Fatal(err, changed.Validate())
	}
	if got := changed.Layers[1].Map.Table[0].Args; got != "aes-xts-plain64 :64:user:gokexec:luks-a 0 @0 32768 1 allow_discards" {
		t.Errorf("the row is %q", got)
	}
	if s.Layers[1].Map.Table[0].Args != before || changed.Layers[2].Map.Table[0] != s.Layers[2].Map.Table[0] {
		t.Errorf("more has changed: %+v, %+v", s.Layers[1].Map, changed.Layers[2].Map)
	}
	if got := changed.RestoredKeys(); len(got) != 1 || got[0] != "gokexec:luks-a" || s.RestoredKeys() != nil {
		t.Errorf("restored are %q, and %q before; want the one, and none", got, s.RestoredKeys())
	}
	if changed, err := s.WithKeys(func(string) CryptKey { return CryptKey{} }); err == nil {
		t.Errorf("without a key: %+v", changed)
	}
}

// A key that the crashed kernel has left is asked for before the table that needs it is loaded.
func TestRestoredKey(t *testing.T) {
	assemble := func(t *testing.T, fail int) (*world, int, error) {
		w := newWorld(t)
		w.k.fail = fail
		w.top(w.dm("crypt", mib, "crypt", "aes-xts-plain64 :64:user:gokexec:c 0 @%d 4096", w.pv()))
		_, err := w.assemble()
		return w, slices.Index(w.k.calls, "restore key gokexec:c of 64 bytes"), err
	}
	synctest.Test(t, func(t *testing.T) {
		w, asked, err := assemble(t, -1)
		if err != nil {
			t.Fatal(err)
		}
		if loaded := slices.Index(w.k.calls, "load crypt"); asked < 0 || loaded < asked {
			t.Errorf("calls %q; want the key restored, then the table loaded", w.k.calls)
		}
		if table, err := w.k.Table("crypt"); err != nil || !strings.Contains(table[0].Args, " :64:user:gokexec:c 0 ") {
			t.Errorf("the table is %+v, %v; want it with the key's name", table, err)
		}
		w, _, err = assemble(t, asked)
		if err == nil || !strings.Contains(err.Error(), `the user key "gokexec:c" of 64 bytes`) || len(w.k.remains()) > 0 {
			t.Errorf("without the key: %v, %q remain; want it named", err, w.k.remains())
		}
	})
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
