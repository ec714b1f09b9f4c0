package store

import (
	"context"
	"fmt"
	"strings"

	"github.com/gokexec/gokexec/pkg/remote"
)

// Prepare checks the files that settings name, and completes the settings with what is in those that a capture
// kernel will not have: the keys of an SSH server, of which an unknown one is refused here, and not when it is too late.
func Prepare(_ context.Context, s remote.Settings) (remote.Settings, error) {
	if err := s.Validate(); err != nil {
		return s, err
	}
	l, err := remote.ParseLocation(s.Location)
	if err != nil {
		return s, err
	}
	if _, err := TLSConfig(s); err != nil {
		return s, err
	}
	if name, ok := strings.CutPrefix(s.Credentials, remote.FromFile); ok {
		if _, err := fileCredentials(name); err != nil {
			return s, err
		}
	}
	if s.ClientKey != "" {
		if err := PrivateFile(s.ClientKey); err != nil {
			return s, fmt.Errorf("key of the client certificate: %w", err)
		}
	}
	if l.Kind != remote.SSH {
		return s, nil
	}
	if _, err := readSSHKey(s.SSHKey); err != nil {
		return s, err
	}
	s.HostKeys, err = pinnedKeys(s, l)
	s.KnownHosts = nil
	return s, err
}
