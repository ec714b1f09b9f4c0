package main

import (
	"fmt"
	"strings"

	"github.com/spf13/pflag"

	"github.com/gokexec/gokexec/pkg/remote"
)

// remoteOptions say how stores are reached: those of a capture, and that of gokexec ship.
type remoteOptions struct {
	endpoint, region, credentials string
	pathStyle                     bool
	caFile, clientCert, clientKey string
	knownHosts                    []string
	sshKey                        string
	encrypt                       []string
}

func (o *remoteOptions) register(flags *pflag.FlagSet) {
	flags.StringVar(&o.endpoint, "endpoint", "", "`URL` of the server of s3:// locations; Amazon's by default")
	flags.StringVar(&o.region, "region", "", "`NAME` of the region of s3:// locations; us-east-1 by default")
	flags.BoolVar(&o.pathStyle, "path-style", false, "have the bucket in the path of URLs, and not in the host name")
	flags.StringVar(&o.credentials, "credentials", "", "`WHERE` the credentials of s3:// are from: env (AWS_ACCESS_KEY_ID and so on), imds (the role of the instance), web-identity (AWS_ROLE_ARN, AWS_WEB_IDENTITY_TOKEN_FILE), file:PATH[#PROFILE], or mint:URL, a service that answers with presigned requests; by default what of env, web-identity and imds is there")
	flags.StringVar(&o.caFile, "ca-file", "", "`FILE` of certificates, in PEM, of the authorities that servers are trusted by; the system's by default")
	flags.StringVar(&o.clientCert, "client-cert", "", "`FILE` of the certificate for servers that ask for one, in PEM")
	flags.StringVar(&o.clientKey, "client-key", "", "`FILE` of its private key, which only its owner may read")
	flags.StringArrayVar(&o.knownHosts, "known-hosts", nil, "`FILE` with the keys of SSH servers (may be repeated); root's and the system's by default. A server that is in none is refused")
	flags.StringVar(&o.sshKey, "ssh-key", "", "`FILE` of the private key for ssh:// locations, without a passphrase, which only its owner may read")
	flags.StringArrayVar(&o.encrypt, "encrypt", nil, "encrypt what stores get for a public `KEY` of age, age1... (may be repeated); only the manifest stays readable. What is saved on this machine is not encrypted")
}

// settings are those for a location: of the options, those that are for its kind.
func (o *remoteOptions) settings(location string) (remote.Settings, error) {
	s := remote.Settings{Location: location, CAFile: o.caFile, ClientCert: o.clientCert, ClientKey: o.clientKey, Encrypt: o.encrypt}
	l, err := remote.ParseLocation(location)
	if err != nil {
		return s, err
	}
	switch l.Kind {
	case remote.S3:
		s.Endpoint, s.Region, s.PathStyle, s.Credentials = o.endpoint, o.region, o.pathStyle, o.credentials
	case remote.SSH:
		s.KnownHosts, s.SSHKey = o.knownHosts, o.sshKey
		s.CAFile, s.ClientCert, s.ClientKey = "", "", ""
	}
	if err := s.Validate(); err != nil {
		return s, fmt.Errorf("%s: %w", location, err)
	}
	return s, nil
}

// validate checks the options by themselves, as those of a configuration.
func (o *remoteOptions) validate() error {
	for _, location := range [...]string{"s3://bucket", "https://host"} {
		if _, err := o.settings(location); err != nil {
			return fmt.Errorf("%s", strings.TrimPrefix(err.Error(), location+": "))
		}
	}
	if o.sshKey != "" {
		_, err := o.settings("ssh://user@host/path")
		return err
	}
	return nil
}
