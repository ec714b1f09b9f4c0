package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/gokexec/gokexec/pkg/advice"
	"github.com/gokexec/gokexec/pkg/capture"
	"github.com/gokexec/gokexec/pkg/remote"
)

// Values of --remote-keys: whether private keys and credentials for stores may go into the initramfs.
const (
	remoteKeysNo     = "no"
	remoteKeysMemory = "memory" // of one that gokexec arm builds in memory, and so into the crash memory only
	remoteKeysFile   = "file"   // of any
)

// systemAuthorities are where distributions have the certificates of authorities, as one file.
var systemAuthorities = [...]string{"/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/ca-bundle.pem", "/etc/ssl/cert.pem"}

// storeTargets completes the targets that are stores: gokexec-remote checks their settings, and looks up what the capture
// kernel can't. What it needs there is carried.
func (o *initramfsOptions) storeTargets(ctx context.Context, e *env, settings *capture.Config) error {
	switch o.remoteKeys {
	case remoteKeysNo, remoteKeysMemory, remoteKeysFile:
	default:
		return usageError("--remote-keys %q; want %s", o.remoteKeys, alternatives([]string{remoteKeysNo, remoteKeysMemory, remoteKeysFile}))
	}
	for i := range settings.Targets {
		t := &settings.Targets[i]
		if t.Store == nil {
			if len(o.remote.encrypt) > 0 {
				fmt.Fprintf(e.stderr, "gokexec: warning: target %s: Encrypt= is for stores; what is saved there can be read\n", t)
			}
			continue
		}
		if elsewhere, err := o.elsewhere(); err != nil || elsewhere {
			return &advice.Problem{What: fmt.Sprintf("target %s: a store can only be a target of the machine that it is prepared on", t), Hint: "build the initramfs there", Err: err}
		}
		var out bytes.Buffer
		if err := e.runRemote(ctx, &remote.Job{Settings: *t.Store}, nil, &out, "prepare"); err != nil {
			return &advice.Problem{What: fmt.Sprintf("target %s: %v", t, err), Hint: advice.Hint(err), Err: err}
		}
		prepared, err := remote.ParseSettings(&out)
		if err != nil {
			return fmt.Errorf("target %s: %w", t, err)
		}
		prepared.Addresses = nil // the record of the network has them
		if err := o.authorities(t, &prepared); err != nil {
			return err
		}
		t.Store = &prepared
		if err := o.carrySecrets(e, t); err != nil {
			return err
		}
		program, err := e.remoteProgram()
		if err != nil {
			return err
		}
		o.carry(prepared.CAFile, prepared.ClientCert, program+":"+capture.RemoteProgramPath)
	}
	return nil
}

func (o *initramfsOptions) carry(files ...string) {
	for _, file := range files {
		if file != "" && !slices.Contains(o.carried, file) {
			o.carried = append(o.carried, file)
		}
	}
}

// authorities names the system's file of certificates, if none is configured and TLS is used.
func (o *initramfsOptions) authorities(t *capture.Target, s *remote.Settings) error {
	if s.CAFile != "" || t.Type == capture.TargetSSH || strings.HasPrefix(s.Endpoint, "http://") {
		return nil
	}
	for _, name := range systemAuthorities {
		if _, err := os.Stat(name); err == nil {
			s.CAFile = name
			return nil
		}
	}
	return &advice.Problem{What: fmt.Sprintf("target %s: there is no file with the certificates of authorities", t), Hint: "CAFile= names one"}
}

// carrySecrets takes in the private keys and credentials that a target needs, if that is allowed, and says so.
func (o *initramfsOptions) carrySecrets(e *env, t *capture.Target) error {
	s := t.Store
	secrets := []string{s.SSHKey, s.ClientKey}
	if name, ok := strings.CutPrefix(s.Credentials, remote.FromFile); ok {
		name, _, _ = strings.Cut(name, "#")
		secrets = append(secrets, name)
	}
	for _, secret := range secrets {
		if secret == "" {
			continue
		}
		what := fmt.Sprintf("target %s needs %s, which is secret", t, secret)
		switch {
		case o.remoteKeys == remoteKeysNo:
			hint := "[Remote] RemoteKeys=memory lets gokexec arm put it into the crash memory, which only root can read"
			if t.Type == capture.TargetS3 {
				hint += "; Credentials=imds or mint:URL needs no secret"
			}
			return &advice.Problem{What: what, Hint: hint}
		case o.remoteKeys == remoteKeysMemory && !o.inMemory:
			return &advice.Problem{What: what + ", and must not be written to a file", Hint: "gokexec arm builds the initramfs in memory; --remote-keys file allows a file, which only root can read"}
		}
		fmt.Fprintf(e.stderr, "gokexec: %s is in the initramfs of the capture kernel\n", secret)
		o.carry(secret)
	}
	return nil
}

// withStores fills in how the stores among targets are reached.
func (o *remoteOptions) withStores(targets []capture.Target) error {
	for i := range targets {
		if targets[i].Store == nil {
			continue
		}
		s, err := o.settings(targets[i].Store.Location)
		if err != nil {
			return err
		}
		targets[i].Store = &s
	}
	return nil
}

// configuredStores does that by the configuration.
func (e *env) configuredStores(targets []capture.Target) error {
	if !slices.ContainsFunc(targets, func(t capture.Target) bool { return t.Store != nil }) {
		return nil
	}
	c, err := readConfig(os.DirFS(e.sysroot))
	if err != nil {
		return err
	}
	return c.initramfs.remote.withStores(targets)
}

// configuredStore does it for one.
func (e *env) configuredStore(t capture.Target) (capture.Target, error) {
	one := []capture.Target{t}
	err := e.configuredStores(one)
	return one[0], err
}

// parseStoreTarget parses a target and, if it is a store, fills in how it is reached.
func (e *env) parseStoreTarget(text string) (capture.Target, error) {
	t, err := capture.ParseTarget(text)
	if err != nil {
		return t, err
	}
	return e.configuredStore(t)
}
