package network

import (
	"bytes"
	"encoding/json"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"filippo.io/age"

	"github.com/gokexec/gokexec/internal/storelab"
	"github.com/gokexec/gokexec/internal/vmlab"
	"github.com/gokexec/gokexec/pkg/capture"
	"github.com/gokexec/gokexec/pkg/fleet"
	"github.com/gokexec/gokexec/pkg/remote"
	"github.com/gokexec/gokexec/pkg/seal"
)

// machineID is the guests'.
const machineID = "echo 0123456789abcdef0123456789abcdef >/etc/machine-id\n"

// program is gokexec-remote, beside gokexec.
func program(t *testing.T) vmlab.File {
	k := vmlab.GetTestKernel(t, vmlab.MatrixNames()[0])
	return vmlab.Executable("/bin/"+remote.ProgramName, vmlab.BuildTest(t, "./cmd/gokexec-remote", k.Arch))
}

// crashes finds the one crash below a directory of a store.
func crashes(t *testing.T, dir string) string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(dir, "crashes", "*"))
	if err != nil || len(found) != 1 {
		t.Fatalf("crashes %q, %v; want one", found, err)
	}
	b, err := os.ReadFile(filepath.Join(found[0], fleet.ManifestName))
	var m fleet.Manifest
	if err == nil {
		err = json.Unmarshal(b, &m)
	}
	if err != nil || m.VMCore != fleet.Stored || m.Outcome != string(capture.Complete) || m.CrashID != filepath.Base(found[0]) || m.BuildID == "" || m.Fingerprint == "" {
		t.Errorf("manifest: %v, %s", err, b)
	}
	files, err := os.ReadDir(found[0])
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if info, err := f.Info(); err == nil {
			t.Logf("%9d crashes/%s/%s", info.Size(), m.CrashID, f.Name())
		}
	}
	t.Logf("%s", b)
	return found[0]
}

// guestAddress is a server of this host's loopback as a guest sees it.
func guestAddress(address string) string {
	_, port, _ := net.SplitHostPort(address)
	return "10.0.2.2:" + port
}

// A dump is saved to a bucket, encrypted; the credentials are in the crash memory alone.
func TestVMS3(t *testing.T) {
	asked(t)
	t.Parallel()
	server := storelab.StartS3(t)
	key, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	s := server.Settings("fleet")
	endpoint := strings.TrimPrefix(s.Endpoint, "http://")
	w := way{devices: user("virtio-net-pci"), files: []vmlab.File{program(t)}, tried: true,
		setup: static + machineID + "umask 077; printf '[default]\\naws_access_key_id=" + storelab.AccessKey + "\\naws_secret_access_key=" + storelab.SecretKey + "\\n' >/etc/s3.credentials\n",
		conf:  "[Remote]\nEndpoint=http://" + guestAddress(endpoint) + "\nPathStyle=yes\nCredentials=file:/etc/s3.credentials\nRemoteKeys=memory\nEncrypt=" + key.Recipient().String() + "\n"}
	_, planted := w.crash(t, usual(t), s.Location)
	dir := crashes(t, server.Path("fleet"))
	plain := t.TempDir()
	for _, name := range []string{capture.LogName, capture.ResultName, capture.VMCoreName} {
		b, err := os.ReadFile(filepath.Join(dir, name+".age"))
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(b, []byte(lastWords)) {
			t.Errorf("%s can be read", name)
		}
		var out bytes.Buffer
		if err := seal.Decrypt(&out, bytes.NewReader(b), []seal.Identity{key}); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if err := os.WriteFile(filepath.Join(plain, name), out.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	r := whole(t, plain, planted)
	t.Logf("%d kB/s, %d MB of memory left at the least", r.RateBytesPerSecond/1000, r.Memory.MinMemAvailableBytes/1e6)
}

// A dump is saved by SFTP; the key of the server is that of known_hosts when the machine was armed.
func TestVMSSH(t *testing.T) {
	asked(t)
	t.Parallel()
	server := storelab.StartSSH(t, true)
	s := server.Settings("dumps")
	l, err := remote.ParseLocation(s.Location)
	if err != nil {
		t.Fatal(err)
	}
	known, err := os.ReadFile(server.KnownHosts)
	if err != nil {
		t.Fatal(err)
	}
	l.Host = "10.0.2.2"
	hosts := filepath.Join(t.TempDir(), "known_hosts")
	if err := os.WriteFile(hosts, bytes.Replace(known, []byte("[127.0.0.1]"), []byte("[10.0.2.2]"), 1), 0o600); err != nil {
		t.Fatal(err)
	}
	w := way{devices: user("virtio-net-pci"), tried: true,
		files: []vmlab.File{program(t), {Path: "/etc/known_hosts", Source: hosts}, {Path: "/etc/dump.key", Source: server.KeyFile}},
		setup: static + machineID + "chmod 600 /etc/dump.key\n",
		conf:  "[Remote]\nSSHKey=/etc/dump.key\nKnownHosts=/etc/known_hosts\nRemoteKeys=memory\n"}
	_, planted := w.crash(t, usual(t), l.String())
	r := whole(t, crashes(t, server.Path("dumps")), planted)
	t.Logf("%d kB/s, %d MB of memory left at the least", r.RateBytesPerSecond/1000, r.Memory.MinMemAvailableBytes/1e6)
}
