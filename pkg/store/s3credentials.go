package store

import (
	"fmt"
	"net/http"
	"os"
	"strings"

	"github.com/minio/minio-go/v7/pkg/credentials"

	"github.com/gokexec/gokexec/pkg/advice"
	"github.com/gokexec/gokexec/pkg/remote"
)

// The environment variables of Amazon's tools ("Environment variables to configure the AWS CLI").
const (
	envKey    = "AWS_ACCESS_KEY_ID"
	envSecret = "AWS_SECRET_ACCESS_KEY"
	envToken  = "AWS_SESSION_TOKEN"
	envRole   = "AWS_ROLE_ARN"
	envWeb    = "AWS_WEB_IDENTITY_TOKEN_FILE"
)

// s3Credentials finds the credentials that settings name. Services that give them are asked as the store is.
func s3Credentials(s remote.Settings, opt Options, trip hearing) (*credentials.Credentials, error) {
	from := s.Credentials
	if from == "" {
		switch {
		case opt.getenv(envKey) != "":
			from = remote.FromEnvironment
		case opt.getenv(envWeb) != "":
			from = remote.FromWebIdentity
		default:
			from = remote.FromRole
		}
	}
	switch {
	case from == remote.FromEnvironment:
		if opt.getenv(envKey) == "" || opt.getenv(envSecret) == "" {
			return nil, &advice.Problem{What: "credentials: " + envKey + " and " + envSecret + " are not in the environment"}
		}
		return credentials.NewStaticV4(opt.getenv(envKey), opt.getenv(envSecret), opt.getenv(envToken)), nil
	case from == remote.FromRole:
		trip.Transport = trip.Transport.Clone()
		trip.Proxy = nil // a metadata service answers those who ask it directly
		return credentials.New(&credentials.IAM{Client: &http.Client{Transport: trip, Timeout: s.ConnectTimeout()}, Endpoint: opt.IMDS, Region: s.Region}), nil
	case from == remote.FromWebIdentity:
		return webIdentity(s, opt, &http.Client{Transport: trip, Timeout: s.ConnectTimeout()})
	case strings.HasPrefix(from, remote.FromFile):
		return fileCredentials(strings.TrimPrefix(from, remote.FromFile))
	}
	return nil, fmt.Errorf("credentials %q are of an unknown kind", from)
}

// webIdentity exchanges the token of a Kubernetes service account (Amazon EKS User Guide, "IAM roles for service
// accounts") for credentials.
func webIdentity(s remote.Settings, opt Options, client *http.Client) (*credentials.Credentials, error) {
	role, file := opt.getenv(envRole), opt.getenv(envWeb)
	if role == "" || file == "" {
		return nil, &advice.Problem{What: "credentials: " + envRole + " and " + envWeb + " are not in the environment"}
	}
	sts := "https://sts.amazonaws.com"
	switch {
	case opt.getenv("AWS_ENDPOINT_URL_STS") != "":
		sts = opt.getenv("AWS_ENDPOINT_URL_STS")
	case s.Region != "":
		sts = "https://sts." + s.Region + ".amazonaws.com"
	}
	token := func() (*credentials.WebIdentityToken, error) {
		b, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		return &credentials.WebIdentityToken{Token: strings.TrimSpace(string(b))}, nil
	}
	return credentials.New(&credentials.STSWebIdentity{Client: client, STSEndpoint: sts, RoleARN: role, GetWebIDTokenExpiry: token}), nil
}

// fileCredentials reads PATH[#PROFILE], once, so that what is wrong with it is known.
func fileCredentials(name string) (*credentials.Credentials, error) {
	name, profile, _ := strings.Cut(name, "#")
	if profile == "" {
		profile = "default"
	}
	if err := PrivateFile(name); err != nil {
		return nil, err
	}
	provider := &credentials.FileAWSCredentials{Filename: name, Profile: profile}
	c := credentials.New(provider)
	v, err := c.GetWithContext(&credentials.CredContext{})
	if err == nil && (v.AccessKeyID == "" || v.SecretAccessKey == "") {
		err = fmt.Errorf("aws_access_key_id or aws_secret_access_key is missing")
	}
	if err != nil {
		return nil, fmt.Errorf("credentials %s, profile %s: %w", name, profile, err)
	}
	return c, nil
}

// PrivateFile checks that only its owner can read a file, who is root or this user.
func PrivateFile(name string) error {
	info, err := os.Stat(name)
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return fmt.Errorf("%s is not a regular file", name)
	}
	if mode := info.Mode().Perm(); mode&0o077 != 0 {
		return &advice.Problem{What: fmt.Sprintf("%s has the mode %04o: others can read it", name, mode), Hint: "chmod 600 " + name}
	}
	return nil
}
