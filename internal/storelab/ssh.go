package storelab

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gokexec/gokexec/internal/vmlab"
	"github.com/gokexec/gokexec/pkg/remote"
)

// sshd finds OpenSSH's server on this machine, or downloads Debian's packages of it into the cache, without installing
// them.
func sshd(ctx context.Context, t testing.TB) (binary, sftpServer, libraries string) {
	t.Helper()
	if _, err := os.Stat("/usr/sbin/sshd"); err == nil {
		return "/usr/sbin/sshd", "internal-sftp", ""
	}
	root, err := vmlab.Cached(ctx, "servers/openssh", func(tmp string) error {
		c := exec.CommandContext(ctx, "sh", "-c", "apt-get download openssh-server openssh-sftp-server libwrap0 && for d in *.deb; do dpkg-deb -x $d . && rm $d || exit 1; done")
		c.Dir = tmp
		return run(c)
	})
	if err != nil {
		skip(t, "sshd: download Debian's openssh-server: %v", err)
	}
	libs, _ := filepath.Glob(filepath.Join(root, "*lib/*-linux-gnu"))
	more, _ := filepath.Glob(filepath.Join(root, "usr/lib/*-linux-gnu"))
	return filepath.Join(root, "usr/sbin/sshd"), filepath.Join(root, "usr/lib/openssh/sftp-server"), strings.Join(append(libs, more...), ":")
}

// SSH is an SSH server.
type SSH struct {
	server
	dir  string
	user string
	// KeyFile is the private key of its user, KnownHosts the file with the key of the server.
	KeyFile, KnownHosts string
}

// StartSSH starts OpenSSH's sshd, with or without SFTP, that ends with the test. Users have no home directory of their
// own there: names are absolute.
func StartSSH(t testing.TB, withSFTP bool) *SSH {
	t.Helper()
	binary, sftpServer, libraries := sshd(t.Context(), t)
	me, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	s := &SSH{dir: filepath.Join(dir, "files"), user: me.Username, KeyFile: filepath.Join(dir, "id"), KnownHosts: filepath.Join(dir, "known_hosts")}
	if err := os.Mkdir(s.dir, 0o700); err != nil {
		t.Fatal(err)
	}
	hostKey := filepath.Join(dir, "host")
	for _, key := range []string{hostKey, s.KeyFile} {
		if out, err := exec.Command("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key).CombinedOutput(); err != nil {
			skip(t, "ssh-keygen: %v: %s", err, out)
		}
	}
	public, err := os.ReadFile(hostKey + ".pub")
	if err != nil {
		t.Fatal(err)
	}
	address := FreeAddress(t)
	host, port, _ := net.SplitHostPort(address)
	subsystem := ""
	if withSFTP {
		subsystem = "Subsystem sftp " + sftpServer + "\n"
	}
	conf := fmt.Sprintf("ListenAddress %s\nPort %s\nHostKey %s\nAuthorizedKeysFile %s.pub\nPidFile none\nStrictModes no\nUsePAM no\nPasswordAuthentication no\nPermitRootLogin prohibit-password\nPerSourcePenalties no\nMaxStartups 1000\n%s",
		host, port, hostKey, s.KeyFile, subsystem)
	if libraries != "" { // an older one
		conf = strings.Replace(conf, "PerSourcePenalties no\n", "", 1)
	}
	files := map[string]string{"sshd_config": conf, "known_hosts": fmt.Sprintf("[%s]:%s %s", host, port, public)}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	argv := []string{binary, "-D", "-e", "-f", filepath.Join(dir, "sshd_config")}
	if os.Geteuid() == 0 {
		argv = append(privileged(t, dir), argv...)
	}
	s.server = server{
		t: t, address: address, log: filepath.Join(dir, "log"), argv: argv,
		env: []string{"LD_LIBRARY_PATH=" + libraries},
	}
	s.Start()
	t.Cleanup(s.Kill)
	return s
}

// Settings reach a directory of the server.
func (s *SSH) Settings(dir string) remote.Settings {
	return remote.Settings{Location: "ssh://" + s.user + "@" + s.address + filepath.Join(s.dir, dir), SSHKey: s.KeyFile, KnownHosts: []string{s.KnownHosts}}
}

// Path is the file of an object.
func (s *SSH) Path(name string) string { return filepath.Join(s.dir, name) }

// privileged is how root starts a sshd: it wants an empty directory /run/sshd and a user sshd (sshd(8)), which it gets in
// a mount namespace of its own.
func privileged(t testing.TB, dir string) []string {
	t.Helper()
	passwd, err := os.ReadFile("/etc/passwd")
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "passwd")
	passwd = append(passwd, "\nsshd:x:65533:65534::/run/sshd:/usr/sbin/nologin\n"...)
	if err := os.WriteFile(file, passwd, 0o644); err != nil {
		t.Fatal(err)
	}
	const script = `mount -t tmpfs none /run && mkdir -m 755 /run/sshd && mount --bind "$0" /etc/passwd && exec "$@"`
	return []string{"unshare", "-m", "sh", "-c", script, file}
}
