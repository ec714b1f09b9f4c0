package network

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/gokexec/gokexec/internal/vmlab"
)

// nfsServer is an nfs-ganesha of Debian, with NFS 4, that exports a directory of this host as /dumps.
type nfsServer struct {
	t      *testing.T
	export string
	listen string // address
	port   int
	cmd    *exec.Cmd
	mu     sync.Mutex
	said   bytes.Buffer
}

func (s *nfsServer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.said.Write(p)
}

// startNFS starts a server; on port 0 a free one is taken.
func startNFS(t *testing.T, listen string, port int) *nfsServer {
	t.Helper()
	p := vmlab.GetTestPackage(t, "trixie", "nfs-ganesha-vfs")
	if port == 0 {
		l, err := net.Listen("tcp", net.JoinHostPort(listen, "0"))
		if err != nil {
			t.Fatal(err)
		}
		port = l.Addr().(*net.TCPAddr).Port
		l.Close()
	}
	s := &nfsServer{t: t, export: filepath.Join(t.TempDir(), "export"), listen: listen, port: port}
	dir := t.TempDir()
	conf := fmt.Sprintf(`
NFS_CORE_PARAM { Plugins_Dir = "%[1]s"; NFS_Port = %[2]d; Bind_addr = %[3]s; Protocols = 4; Enable_NLM = false;
	Enable_RQUOTA = false; Enable_UDP = false; allow_set_io_flusher_fail = true; }
NFSV4 { Lease_Lifetime = 5; RecoveryBackend = fs; RecoveryRoot = "%[4]s"; Graceless = true; Only_Numeric_Owners = true;
	IdmapConf = "%[4]s/idmapd.conf"; }
DIRECTORY_SERVICES { DomainName = "localdomain"; Idmapping_Active = false; }
EXPORT { Export_Id = 1; Path = "%[5]s"; Pseudo = "/dumps"; Access_Type = RW; Squash = None; SecType = sys; Protocols = 4;
	Transports = TCP; FSAL { Name = VFS; } }
`, p.Path("usr/lib/x86_64-linux-gnu/ganesha"), port, listen, dir, s.export)
	for name, text := range map[string]string{"ganesha.conf": conf, "idmapd.conf": "[General]\nDomain = localdomain\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(s.export, 0o700); err != nil {
		t.Fatal(err)
	}
	libraries := []string{p.Path("usr/lib/x86_64-linux-gnu"), p.Path("usr/lib/ganesha"), p.Path("usr/lib/x86_64-linux-gnu/ganesha"), p.Path("usr/lib/x86_64-linux-gnu/libnfsidmap")}
	s.cmd = exec.Command(p.Path("lib64/ld-linux-x86-64.so.2"), "--library-path", strings.Join(libraries, ":"), p.Path("usr/bin/ganesha.nfsd"),
		"-F", "-x", "-f", filepath.Join(dir, "ganesha.conf"), "-L", "STDERR", "-p", filepath.Join(dir, "pid"))
	s.cmd.Stdout, s.cmd.Stderr = s, s
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { _ = s.cmd.Wait(); close(ended) }()
	t.Cleanup(func() {
		_ = s.cmd.Process.Kill()
		<-ended
		if t.Failed() {
			s.mu.Lock()
			t.Logf("nfs-ganesha:\n%s", s.said.Bytes()[max(0, s.said.Len()-3000):])
			s.mu.Unlock()
		}
	})
	for range 300 {
		if conn, err := net.Dial("tcp", net.JoinHostPort(listen, fmt.Sprint(port))); err == nil {
			conn.Close()
			return s
		}
		time.Sleep(100 * time.Millisecond)
	}
	t.Fatalf("nfs-ganesha does not listen on %s, port %d", listen, port)
	return nil
}

// vanish makes the server answer nothing any more: connections stay.
func (s *nfsServer) vanish() {
	s.t.Helper()
	if err := s.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		s.t.Fatal(err)
	}
}

// dumps are the directories of the machine's dumps on the server.
func (s *nfsServer) dumps(machine string) []string {
	s.t.Helper()
	names, err := filepath.Glob(filepath.Join(s.export, machine, "2*Z"))
	if err != nil {
		s.t.Fatal(err)
	}
	return names
}
