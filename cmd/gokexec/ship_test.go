package main

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"filippo.io/age"

	"github.com/gokexec/gokexec/internal/storelab"
)

// gokexec ship sends what is configured, says what it did, and gokexec dump --decrypt reads it.
func TestShipCommand(t *testing.T) {
	server := storelab.StartS3(t)
	dir := t.TempDir()
	program := filepath.Join(dir, "gokexec-remote")
	build := exec.CommandContext(t.Context(), "go", "build", "-o", program, "../gokexec-remote")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	t.Setenv("AWS_ACCESS_KEY_ID", storelab.AccessKey)
	t.Setenv("AWS_SECRET_ACCESS_KEY", storelab.SecretKey)
	key, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	keyFile := filepath.Join(dir, "key")
	dumps := filepath.Join(dir, "crash")
	dump := filepath.Join(dumps, "20261130T031415Z")
	for name, text := range map[string]string{
		keyFile:                            key.String() + "\n",
		filepath.Join(dump, "vmcore"):      "the memory",
		filepath.Join(dump, "dmesg.txt"):   "the log",
		filepath.Join(dump, "result.json"): `{"outcome":"complete","crash_time":"2026-11-30T03:14:15Z","capture_time":"2026-11-30T03:14:20Z"}`,
	} {
		if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	b := newBench(t)
	b.remote = program
	b.want(exitUsage, "", "it is not said where dumps go", "ship", dumps)
	s := server.Settings("fleet")
	b.kernel.Write("etc/machine-id", "0123456789abcdef0123456789abcdef\n")
	b.kernel.Write("etc/gokexec.conf", "[Remote]\nEndpoint="+s.Endpoint+"\nPathStyle=yes\nCredentials=env\nEncrypt="+key.Recipient().String()+"\n[Ship]\nTo="+s.Location+"\n")
	b.want(exitFailure, "", "there is no bucket other-bucket", "ship", "--to", "s3://other-bucket", dumps)
	b.want(exitOK, "1 dumps: 1 sent, 0 not needed, 0 pending", "the store has confirmed its digest", "ship", dumps)
	b.want(exitOK, "", "", "ship", "--json", dumps)
	var r struct {
		Directories map[string]struct{ Dumps, Sent int }
	}
	if err := json.Unmarshal(b.stdout.Bytes(), &r); err != nil || r.Directories[dumps].Dumps != 1 || r.Directories[dumps].Sent != 0 {
		t.Errorf("%v: %s", err, &b.stdout)
	}
	stored, err := filepath.Glob(server.Path("fleet/crashes/*/vmcore.age"))
	if err != nil || len(stored) != 1 || !strings.Contains(stored[0], "-20261130T031415Z") {
		t.Fatalf("stored %q, %v", stored, err)
	}
	out := filepath.Join(dir, "vmcore")
	b.want(exitOK, "", "", "dump", "--decrypt", "-i", keyFile, "-o", out, stored[0])
	if got, err := os.ReadFile(out); err != nil || !bytes.Equal(got, []byte("the memory")) {
		t.Errorf("%q, %v", got, err)
	}
	b.want(exitFailure, "", "it is encrypted for other keys", "dump", "--decrypt", "-i", otherKey(t, dir), "-o", out, stored[0])
	if got, _ := os.ReadFile(out); !bytes.Equal(got, []byte("the memory")) {
		t.Errorf("a file was replaced by %q", got)
	}
	b.want(exitUsage, "", "needs a private key", "dump", "--decrypt", "-o", out, stored[0])
}

func otherKey(t *testing.T, dir string) string {
	t.Helper()
	key, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(dir, "other")
	if err := os.WriteFile(name, []byte(key.String()+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}
