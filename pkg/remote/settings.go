package remote

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"
	"time"
)

// maxSettings bounds what ParseSettings and ReadJob read, in bytes.
const maxSettings = 1 << 20

// DefaultRegion is where Amazon's buckets are, and what other servers mostly call theirs.
const DefaultRegion = "us-east-1"

// Defaults of the durations in Settings.
const (
	DefaultConnectTimeout = 15 * time.Second
	DefaultStallTimeout   = 30 * time.Second
	DefaultPatience       = 2 * time.Minute
)

// maxSeconds bounds the durations of Settings: a day.
const maxSeconds = 24 * 3600

// Where S3's credentials come from: [Settings.Credentials].
const (
	FromEnvironment = "env"          // AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN
	FromRole        = "imds"         // the role of the instance, by IMDSv2
	FromWebIdentity = "web-identity" // AWS_ROLE_ARN and AWS_WEB_IDENTITY_TOKEN_FILE
	FromFile        = "file:"        // file:PATH[#PROFILE], of the form of ~/.aws/credentials
	FromMint        = "mint:"        // mint:URL, a service that answers with a presigned request for each object
)

// Settings say how a store is reached. They have no secrets: those are in the files that they name.
type Settings struct {
	// Location is as [ParseLocation] reads it.
	Location string `json:"location"`

	// Endpoint is the URL of an S3 server, such as https://s3.example.com:9000. Default: Amazon's, for Region.
	Endpoint string `json:"endpoint,omitempty"`
	// Region is S3's. Default: us-east-1.
	Region string `json:"region,omitempty"`
	// PathStyle has the bucket in the path and not in the host name.
	PathStyle bool `json:"path_style,omitempty"`
	// Credentials says where S3's are from. Default: env if they are there, else web-identity if that is there, else
	// imds.
	Credentials string `json:"credentials,omitempty"`

	// CAFile has the certificates, in PEM, of the authorities that servers are trusted by. Default: the system's.
	CAFile string `json:"ca_file,omitempty"`
	// ClientCert and ClientKey are files in PEM, for servers that ask for a certificate.
	ClientCert string `json:"client_cert,omitempty"`
	ClientKey  string `json:"client_key,omitempty"`

	// KnownHosts are files with the keys of SSH servers (sshd(8), SSH_KNOWN_HOSTS FILE FORMAT).
	KnownHosts []string `json:"known_hosts,omitempty"`
	// HostKeys are the keys that the server may have, as in a file of authorized keys: KnownHosts are not read
	// then.
	HostKeys []string `json:"host_keys,omitempty"`
	// SSHKey is the file of the private key, which only its owner may read.
	SSHKey string `json:"ssh_key,omitempty"`

	// Machine is the identity of this machine, which objects of a crash are called after.
	Machine string `json:"machine,omitempty"`

	// Encrypt are the recipients (age1...) that everything but manifests is encrypted for.
	Encrypt []string `json:"encrypt,omitempty"`

	// Addresses are the IP addresses of hosts, where names can't be resolved.
	Addresses map[string][]string `json:"addresses,omitempty"`
	// ConnectTimeoutSeconds bounds each attempt to connect; TLS and SSH take part in it. Default: 15.
	ConnectTimeoutSeconds int `json:"connect_timeout_seconds,omitempty"`
	// StallTimeoutSeconds is how long a server may take or give nothing before the connection is given up. Default: 30.
	StallTimeoutSeconds int `json:"stall_timeout_seconds,omitempty"`
	// PatienceSeconds is how long the same request is tried again while it fails. Default: 120.
	PatienceSeconds int `json:"patience_seconds,omitempty"`
	// PartBytes is the size of the parts of large objects. Default: 8 MiB, or what the object needs.
	PartBytes int64 `json:"part_bytes,omitempty"`
}

// ParseSettings reads Settings in JSON, and checks them. Unknown keys and trailing data are errors.
func ParseSettings(r io.Reader) (Settings, error) {
	var s Settings
	if err := decode(r, &s); err != nil {
		return Settings{}, fmt.Errorf("settings of a store: %w", err)
	}
	return s, s.Validate()
}

// decode reads JSON. Unknown keys and trailing data are errors.
func decode(r io.Reader, v any) error {
	data, err := io.ReadAll(io.LimitReader(r, maxSettings+1))
	if err != nil {
		return err
	}
	if len(data) > maxSettings {
		return fmt.Errorf("larger than %d bytes", maxSettings)
	}
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return err
	}
	if _, err := d.Token(); err != io.EOF {
		return errors.New("there is data after it")
	}
	return nil
}

// Validate checks what can be known without a look at files and servers.
func (s Settings) Validate() error {
	l, err := ParseLocation(s.Location)
	if err != nil {
		return err
	}
	for _, f := range [...]struct {
		name, value string
		kind        Kind
	}{
		{"endpoint", s.Endpoint, S3}, {"region", s.Region, S3}, {"credentials", s.Credentials, S3}, {"ssh_key", s.SSHKey, SSH},
	} {
		if f.value != "" && f.kind != l.Kind {
			return fmt.Errorf("%s is for %s:// only", f.name, f.kind)
		}
	}
	if l.Kind == SSH && s.SSHKey == "" {
		return errors.New("ssh:// needs ssh_key, the file of a private key")
	}
	if (s.ClientCert == "") != (s.ClientKey == "") {
		return errors.New("client_cert and client_key go together")
	}
	files := append([]string{s.CAFile, s.ClientCert, s.ClientKey, s.SSHKey}, s.KnownHosts...)
	if err := s.validCredentials(&files); err != nil {
		return err
	}
	for _, file := range files {
		if file != "" && !path.IsAbs(file) {
			return fmt.Errorf("%q is not the absolute path of a file", file)
		}
	}
	if s.Endpoint != "" && !strings.HasPrefix(s.Endpoint, "https://") && !strings.HasPrefix(s.Endpoint, "http://") {
		return fmt.Errorf("endpoint %q; want https://HOST[:PORT]", s.Endpoint)
	}
	for _, r := range s.Encrypt {
		if !strings.HasPrefix(r, "age1") {
			return fmt.Errorf("recipient %q; want age1..., as age-keygen prints it", r)
		}
	}
	for _, f := range [...]struct {
		name  string
		value int
	}{{"connect_timeout_seconds", s.ConnectTimeoutSeconds}, {"stall_timeout_seconds", s.StallTimeoutSeconds}, {"patience_seconds", s.PatienceSeconds}} {
		if f.value < 0 || f.value > maxSeconds {
			return fmt.Errorf("%s is %d; want 0 to %d", f.name, f.value, maxSeconds)
		}
	}
	if s.PartBytes != 0 && (s.PartBytes < MinPart || s.PartBytes > MaxPart) {
		return fmt.Errorf("part_bytes is %d; want %d to %d", s.PartBytes, MinPart, MaxPart)
	}
	return nil
}

// validCredentials checks where credentials are from, and adds the file that they are in.
func (s Settings) validCredentials(files *[]string) error {
	switch c := s.Credentials; {
	case c == "", c == FromEnvironment, c == FromRole, c == FromWebIdentity:
	case strings.HasPrefix(c, FromFile):
		name, _, _ := strings.Cut(strings.TrimPrefix(c, FromFile), "#")
		if name == "" {
			return fmt.Errorf("credentials %q name no file", c)
		}
		*files = append(*files, name)
	case strings.HasPrefix(c, FromMint):
		if url := strings.TrimPrefix(c, FromMint); !strings.HasPrefix(url, "https://") && !strings.HasPrefix(url, "http://") {
			return fmt.Errorf("credentials %q; want mint:https://HOST/PATH", c)
		}
	default:
		return fmt.Errorf("credentials %q; want env, imds, web-identity, file:PATH[#PROFILE] or mint:URL", c)
	}
	return nil
}

func duration(seconds int, otherwise time.Duration) time.Duration {
	if seconds == 0 {
		return otherwise
	}
	return time.Duration(seconds) * time.Second
}

// ConnectTimeout is ConnectTimeoutSeconds, or its default.
func (s Settings) ConnectTimeout() time.Duration {
	return duration(s.ConnectTimeoutSeconds, DefaultConnectTimeout)
}

// StallTimeout is StallTimeoutSeconds, or its default.
func (s Settings) StallTimeout() time.Duration {
	return duration(s.StallTimeoutSeconds, DefaultStallTimeout)
}

// Patience is PatienceSeconds, or its default.
func (s Settings) Patience() time.Duration { return duration(s.PatienceSeconds, DefaultPatience) }
