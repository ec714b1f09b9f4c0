package store

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/pkg/sftp"
	"golang.org/x/crypto/chacha20poly1305"
	"golang.org/x/crypto/ssh"

	"github.com/gokexec/gokexec/pkg/advice"
	"github.com/gokexec/gokexec/pkg/remote"
)

// sshStore is a directory on an SSH server: by SFTP or, where there is no such subsystem, by commands of a shell. An
// object is written under NAME.part and gets its name when it is whole.
type sshStore struct {
	Options
	settings remote.Settings
	at       remote.Location
	dialer   *dialer
	config   *ssh.ClientConfig
	address  string

	mu      sync.Mutex
	current *sshSession
}

// sshSession is a connection.
type sshSession struct {
	client *ssh.Client
	sftp   *sftp.Client // nil: the server has none
	ended  chan struct{}
}

// aliveInterval is how often the server is asked whether it is there, while it has something to do.
const aliveInterval = 10 * time.Second

// sftpRequests is how many writes of 32 KiB are on their way at once.
const sftpRequests = 64

func openSSH(ctx context.Context, s remote.Settings, l remote.Location, opt Options) (Store, error) {
	signer, err := readSSHKey(s.SSHKey)
	if err != nil {
		return nil, err
	}
	keys, err := hostKeys(s, l)
	if err != nil {
		return nil, err
	}
	st := &sshStore{Options: opt, settings: s, at: l, dialer: newDialer(s), address: sshAddress(l)}
	check, algorithms := pin(keys, st.address)
	st.config = &ssh.ClientConfig{
		User: l.User, Auth: []ssh.AuthMethod{ssh.PublicKeys(signer)}, HostKeyCallback: check, HostKeyAlgorithms: algorithms,
		Config: ssh.Config{Ciphers: ciphers()},
	}
	err = st.try(ctx, "connect", func(context.Context, *sshSession, func()) error { return nil })
	if err != nil {
		return nil, err
	}
	return st, nil
}

// ciphers lists those that both sides may agree on, the fastest on this machine first: with instructions for AES that is
// AES, without it ChaCha20.
func ciphers() []string {
	list := []string{ssh.CipherAES128GCM, ssh.CipherChaCha20Poly1305, ssh.CipherAES256GCM, ssh.CipherAES128CTR, ssh.CipherAES256CTR}
	key := make([]byte, chacha20poly1305.KeySize)
	chacha, err := chacha20poly1305.New(key)
	if err != nil {
		return list
	}
	block, err := aes.NewCipher(key[:16])
	if err != nil {
		return list
	}
	gcm, err := cipher.NewGCM(block)
	if err != nil {
		return list
	}
	if sealTime(chacha) < sealTime(gcm) {
		list[0], list[1] = list[1], list[0]
	}
	return list
}

// sealTime is how long a cipher takes for packets of SSH, 256 KiB in all: the best of several attempts.
func sealTime(c cipher.AEAD) time.Duration {
	nonce, packet := make([]byte, c.NonceSize()), make([]byte, 32<<10)
	out := make([]byte, 0, len(packet)+c.Overhead())
	best := time.Hour
	for range 3 {
		begin := time.Now()
		for range 8 {
			c.Seal(out, nonce, packet, nil)
		}
		best = min(best, time.Since(begin))
	}
	return best
}

func (s *sshStore) Close() error {
	s.mu.Lock()
	c := s.current
	s.mu.Unlock()
	if c != nil {
		s.drop(c)
	}
	return nil
}

// drop ends a connection.
func (s *sshStore) drop(c *sshSession) {
	s.mu.Lock()
	if s.current == c {
		s.current = nil
	}
	s.mu.Unlock()
	c.client.Close()
	<-c.ended
}

// session is the connection, which is made if there is none.
func (s *sshStore) session(ctx context.Context) (*sshSession, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.current != nil {
		return s.current, nil
	}
	c, err := s.connect(ctx)
	if err == nil {
		s.current = c
	}
	return c, err
}

// try does something with a connection until it succeeds, within the patience of the settings. What fails may have
// broken the connection, so the next attempt has another.
func (s *sshStore) try(ctx context.Context, what string, do func(ctx context.Context, c *sshSession, progress func()) error) error {
	return s.retry(ctx, what, s.settings.Patience(), func(progress func()) error {
		defer s.dialer.request()()
		c, err := s.session(ctx)
		if err != nil {
			return err
		}
		stop := context.AfterFunc(ctx, func() { c.client.Close() })
		err = do(ctx, c, progress)
		if !stop() || err != nil && broken(err) {
			s.drop(c)
		}
		return s.explain(err)
	})
}

// broken tells whether an error is one of the connection.
func broken(err error) bool {
	var final permanent
	var status *sftp.StatusError
	var exit *ssh.ExitError
	return !errors.As(err, &final) && !errors.As(err, &status) && !errors.As(err, &exit)
}

// connect makes a connection.
func (s *sshStore) connect(ctx context.Context) (*sshSession, error) {
	ctx, cancel := context.WithTimeout(ctx, s.settings.ConnectTimeout())
	defer cancel()
	conn, err := s.dialer.DialContext(ctx, "tcp", s.address)
	if err != nil {
		return nil, networkProblem(s.address, err)
	}
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	client, err := s.handshake(conn)
	if !stop() && err == nil {
		client.Close()
		err = context.Cause(ctx)
	}
	if err != nil {
		conn.Close()
		if ctx.Err() != nil {
			err = fmt.Errorf("%s: no connection within %v: %w", s.address, s.settings.ConnectTimeout(), err)
		}
		return nil, err
	}
	c := &sshSession{client: client, ended: make(chan struct{})}
	go s.keepAlive(c)
	c.sftp, err = sftp.NewClient(client, sftp.UseConcurrentWrites(true), sftp.MaxConcurrentRequestsPerFile(sftpRequests))
	if err != nil {
		// The server refuses the subsystem, or what it starts for it ends at once.
		c.sftp = nil
		s.say("%s has no SFTP (%v): commands of its shell are used", s.address, err)
	}
	return c, nil
}

func (s *sshStore) handshake(conn net.Conn) (*ssh.Client, error) {
	c, channels, requests, err := ssh.NewClientConn(conn, s.address, s.config)
	if err != nil {
		var final permanent
		switch {
		case errors.As(err, &final):
			return nil, permanent{errors.Unwrap(final)}
		case strings.Contains(err.Error(), "unable to authenticate"):
			return nil, permanent{&advice.Problem{What: fmt.Sprintf("%s does not accept the key %s for the user %s", s.address, s.settings.SSHKey, s.at.User), Hint: "its public key belongs into that user's authorized_keys", Err: err}}
		case strings.Contains(err.Error(), "no common algorithm"):
			return nil, permanent{fmt.Errorf("%s: %w", s.address, err)}
		}
		return nil, networkProblem(s.address, err)
	}
	return ssh.NewClient(c, channels, requests), nil
}

// keepAlive asks the server from time to time whether it is there, as ServerAliveInterval of ssh_config(5): a server that
// waits for us has nothing to say.
func (s *sshStore) keepAlive(c *sshSession) {
	defer close(c.ended)
	over := make(chan struct{})
	go func() {
		_ = c.client.Wait()
		close(over)
	}()
	tick := time.NewTicker(min(aliveInterval, s.settings.StallTimeout()/2))
	defer tick.Stop()
	for {
		select {
		case <-over:
			return
		case <-tick.C:
		}
		if s.dialer.due() {
			_, _, _ = c.client.SendRequest("keepalive@openssh.com", true, nil)
		}
	}
}

// explain makes one line of an error, and tells whether another attempt could end otherwise.
func (s *sshStore) explain(err error) error {
	if err == nil {
		return nil
	}
	var final permanent
	var status *sftp.StatusError
	var exit *ssh.ExitError
	switch {
	case errors.As(err, &final):
		return err
	case errors.As(err, &status):
		return permanent{fmt.Errorf("%s: %w", s.address, s.sftpProblem(status))}
	case errors.As(err, &exit):
		return permanent{fmt.Errorf("%s: %w", s.address, err)}
	}
	return networkProblem(s.address, err)
}

// sftpProblem says what a status of SFTP means (draft-ietf-secsh-filexfer-02, 7): most are only "failure".
func (s *sshStore) sftpProblem(status *sftp.StatusError) error {
	switch status.FxCode() {
	case sftp.ErrSSHFxNoSuchFile:
		return notThere{status}
	case sftp.ErrSSHFxPermissionDenied:
		return &advice.Problem{What: "permission denied", Hint: "the directory " + s.at.Path + " has to belong to the user " + s.at.User, Err: status}
	case sftp.ErrSSHFxFailure:
		return &advice.Problem{What: "the server could not write (" + status.Error() + ")", Hint: "its disk may be full, or the name be taken", Err: status}
	}
	return status
}
