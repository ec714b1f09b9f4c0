package remote

import (
	"cmp"
	"errors"
	"net/url"
	"strings"
)

// metadataHost is the address of the instance metadata service (Amazon EC2 User Guide, "Use the Instance Metadata Service").
const metadataHost = "169.254.169.254"

// Hosts are what is connected to for the store: names or addresses, that of the store first.
func (s *Settings) Hosts() ([]string, error) {
	l, err := ParseLocation(s.Location)
	if err != nil {
		return nil, err
	}
	hosts := []string{l.Host}
	if l.Kind == S3 {
		hosts = nil
		mint, minted := strings.CutPrefix(s.Credentials, FromMint)
		switch {
		case minted:
			if hosts, err = addHost(hosts, mint); err != nil {
				return nil, err
			}
			if s.Endpoint == "" {
				break // it answers with whole URLs
			}
			fallthrough
		case s.Endpoint != "":
			if hosts, err = addHost(hosts, s.Endpoint); err != nil {
				return nil, err
			}
			if !s.PathStyle && !minted && !isAddress(hosts[0]) {
				hosts = append(hosts, l.Bucket+"."+hosts[0])
			}
		default:
			hosts = []string{l.Bucket + ".s3.dualstack." + cmp.Or(s.Region, DefaultRegion) + ".amazonaws.com"}
		}
		if s.Credentials == "" || s.Credentials == FromRole {
			hosts = append(hosts, metadataHost)
		}
	}
	if len(hosts) == 0 {
		return nil, errors.New("no host is known")
	}
	return hosts, nil
}

func isAddress(host string) bool {
	return strings.Contains(host, ":") || strings.Trim(host, "0123456789.") == ""
}

func addHost(hosts []string, text string) ([]string, error) {
	u, err := url.Parse(text)
	if err != nil {
		return nil, err
	}
	if u.Hostname() == "" {
		return nil, errors.New(text + " names no host")
	}
	return append(hosts, u.Hostname()), nil
}
