package storelab

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/gokexec/gokexec/pkg/remote"
)

// versitygw's version is one whose answers are known: it checks signatures and digests, and has conditional writes.
const versitygw = "github.com/versity/versitygw/cmd/versitygw@v1.8.0"

// The credentials of the server.
const (
	AccessKey = "gokexectest"
	SecretKey = "gokexecsecret"
)

// Bucket is a bucket that there is.
const Bucket = "crashes"

// S3 is a server of S3 with a bucket.
type S3 struct {
	server
	dir string
}

// StartS3 starts a server that ends with the test.
func StartS3(t testing.TB) *S3 {
	t.Helper()
	binary := install(t.Context(), t, versitygw)
	dir := t.TempDir()
	files := filepath.Join(dir, "files")
	if err := os.MkdirAll(filepath.Join(files, Bucket), 0o755); err != nil {
		t.Fatal(err)
	}
	address := FreeAddress(t)
	s := &S3{dir: files}
	s.server = server{
		t: t, address: address, log: filepath.Join(dir, "log"),
		argv: []string{binary, "--access", AccessKey, "--secret", SecretKey, "--port", address, "--quiet", "posix", files},
	}
	s.Start()
	t.Cleanup(s.Kill)
	return s
}

// Settings reach the bucket.
func (s *S3) Settings(prefix string) remote.Settings {
	return remote.Settings{Location: "s3://" + Bucket + "/" + prefix, Endpoint: "http://" + s.address, PathStyle: true, Credentials: remote.FromEnvironment}
}

// Getenv has the credentials.
func Getenv(name string) string {
	switch name {
	case "AWS_ACCESS_KEY_ID":
		return AccessKey
	case "AWS_SECRET_ACCESS_KEY":
		return SecretKey
	}
	return ""
}

// Path is the file of an object.
func (s *S3) Path(key string) string { return filepath.Join(s.dir, Bucket, key) }
