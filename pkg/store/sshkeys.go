package store

import (
	"crypto/ed25519"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"

	"github.com/gokexec/gokexec/pkg/advice"
	"github.com/gokexec/gokexec/pkg/remote"
)

// systemKnownHosts are read if settings name no file (ssh_config(5), UserKnownHostsFile and GlobalKnownHostsFile, for
// root).
var systemKnownHosts = [...]string{"/root/.ssh/known_hosts", "/etc/ssh/ssh_known_hosts"}

const defaultSSHPort = 22

// sshAddress is the host and the port of a location.
func sshAddress(l remote.Location) string {
	port := l.Port
	if port == 0 {
		port = defaultSSHPort
	}
	return net.JoinHostPort(l.Host, strconv.Itoa(port))
}

// readSSHKey reads a private key, which only its owner may read, and which has no passphrase.
func readSSHKey(name string) (ssh.Signer, error) {
	if err := PrivateFile(name); err != nil {
		return nil, fmt.Errorf("SSH key: %w", err)
	}
	b, err := os.ReadFile(name)
	if err != nil {
		return nil, fmt.Errorf("SSH key: %w", err)
	}
	signer, err := ssh.ParsePrivateKey(b)
	var locked *ssh.PassphraseMissingError
	switch {
	case errors.As(err, &locked):
		return nil, &advice.Problem{What: "SSH key " + name + " has a passphrase, which nobody could type", Hint: "use a key for this purpose alone, without one: ssh-keygen -t ed25519 -N ''", Err: err}
	case err != nil:
		return nil, fmt.Errorf("SSH key %s: %w", name, err)
	}
	return signer, nil
}

// hostKeys are the keys that the server may have.
func hostKeys(s remote.Settings, l remote.Location) ([]ssh.PublicKey, error) {
	if len(s.HostKeys) == 0 {
		return knownKeys(s, l)
	}
	var keys []ssh.PublicKey
	for _, line := range s.HostKeys {
		key, _, _, _, err := ssh.ParseAuthorizedKey([]byte(line))
		if err != nil {
			return nil, fmt.Errorf("host key %.40q: %w", line, err)
		}
		keys = append(keys, key)
	}
	return keys, nil
}

// pinnedKeys are the keys as Settings.HostKeys has them.
func pinnedKeys(s remote.Settings, l remote.Location) ([]string, error) {
	keys, err := hostKeys(s, l)
	if err != nil {
		return nil, err
	}
	var lines []string
	for _, key := range keys {
		lines = append(lines, strings.TrimSpace(string(ssh.MarshalAuthorizedKey(key))))
	}
	return lines, nil
}

// knownKeys looks the keys of a server up in files of known hosts.
func knownKeys(s remote.Settings, l remote.Location) ([]ssh.PublicKey, error) {
	files := s.KnownHosts
	if len(files) == 0 {
		files = slices.DeleteFunc(slices.Clone(systemKnownHosts[:]), func(name string) bool {
			_, err := os.Stat(name)
			return errors.Is(err, fs.ErrNotExist)
		})
	}
	address := sshAddress(l)
	unknown := func(err error) error {
		port := ""
		if l.Port != 0 {
			port = "-p " + strconv.Itoa(l.Port) + " "
		}
		return &advice.Problem{What: fmt.Sprintf("the key of the SSH server %s is in no file of known hosts (%s)", address, strings.Join(files, ", ")),
			Hint: "compare what ssh-keyscan " + port + l.Host + " prints with the server's own keys, and add it to a file that KnownHosts= names", Err: err}
	}
	if len(files) == 0 {
		files = systemKnownHosts[:]
		return nil, unknown(nil)
	}
	check, err := knownhosts.New(files...)
	if err != nil {
		return nil, fmt.Errorf("known hosts: %w", err)
	}
	// A key that nobody has: the error lists those that are known.
	nobody, err := ssh.NewPublicKey(make(ed25519.PublicKey, ed25519.PublicKeySize))
	if err != nil {
		return nil, err
	}
	var other *knownhosts.KeyError
	if err := check(address, &net.TCPAddr{IP: net.IPv4zero, Port: defaultSSHPort}, nobody); !errors.As(err, &other) || len(other.Want) == 0 {
		return nil, unknown(err)
	}
	var keys []ssh.PublicKey
	for _, known := range other.Want {
		if check(address, &net.TCPAddr{IP: net.IPv4zero, Port: defaultSSHPort}, known.Key) == nil { // and not revoked
			keys = append(keys, known.Key)
		}
	}
	if len(keys) == 0 {
		return nil, unknown(nil)
	}
	return keys, nil
}

// pin makes a callback that accepts these keys alone, and the algorithms for them, so that the server shows one of them.
func pin(keys []ssh.PublicKey, address string) (ssh.HostKeyCallback, []string) {
	var algorithms []string
	for _, key := range keys {
		if key.Type() == ssh.KeyAlgoRSA {
			algorithms = append(algorithms, ssh.KeyAlgoRSASHA256, ssh.KeyAlgoRSASHA512)
			continue
		}
		algorithms = append(algorithms, key.Type())
	}
	return func(_ string, _ net.Addr, key ssh.PublicKey) error {
		for _, known := range keys {
			if string(known.Marshal()) == string(key.Marshal()) {
				return nil
			}
		}
		return permanent{&advice.Problem{What: fmt.Sprintf("the SSH server %s has another key (%s) than the one that is known: it is another machine, or somebody is in between", address, ssh.FingerprintSHA256(key)),
			Hint: "if the server was given a new key, correct the file of known hosts and arm again"}}
	}, algorithms
}
