package remote_test

import (
	"strings"
	"testing"

	"github.com/gokexec/gokexec/pkg/remote"
)

func TestParseSettings(t *testing.T) {
	for text, want := range map[string]string{
		`{"location":"s3://bucket/x","endpoint":"https://h:9000","region":"r","path_style":true,"credentials":"file:/etc/c#p"}`: "",
		`{"location":"ssh://u@h/x","ssh_key":"/root/.ssh/id","known_hosts":["/root/.ssh/known_hosts"]}`:                         "",
		`{"location":"https://h/x","ca_file":"/ca.pem","client_cert":"/c.pem","client_key":"/k.pem"}`:                           "",
		`{"location":"s3://bucket","credentials":"mint:https://h/mint","encrypt":["age1xyz"]}`:                                  "",
		``: "EOF", `{}`: "want s3://", `{"location":"s3://bucket"} x`: "data after", `{"location":"s3://bucket","x":1}`: "unknown field",
		`{"location":"ssh://u@h/x"}`:                                                      "ssh_key",
		`{"location":"ssh://u@h/x","ssh_key":"id"}`:                                       "absolute",
		`{"location":"ssh://u@h/x","ssh_key":"/id","region":"r"}`:                         "for s3:// only",
		`{"location":"https://h/x","client_cert":"/c.pem"}`:                               "go together",
		`{"location":"s3://bucket","credentials":"magic"}`:                                "imds",
		`{"location":"s3://bucket","credentials":"file:"}`:                                "no file",
		`{"location":"s3://bucket","credentials":"mint:ftp://h"}`:                         "mint:https",
		`{"location":"s3://bucket","endpoint":"h:9000"}`:                                  "endpoint",
		`{"location":"s3://bucket","encrypt":["ssh-rsa AAAA"]}`:                           "age1",
		`{"location":"s3://bucket","stall_timeout_seconds":-1}`:                           "stall_timeout_seconds",
		`{"location":"s3://bucket","part_bytes":1}`:                                       "part_bytes",
		`{"location":"s3://bucket","known_hosts":["` + strings.Repeat("x", 1<<20) + `"]}`: "larger",
	} {
		_, err := remote.ParseSettings(strings.NewReader(text))
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%.100s: %v; want %q", text, err, want)
		}
	}
}

func TestPartSize(t *testing.T) {
	for size, want := range map[int64]int64{0: 8 << 20, 1 << 30: 8 << 20, 64e9: 8 << 20, 70e9: 16 << 20, 1e12: 64 << 20, 1e15: 64 << 20} {
		if got := remote.PartSize(size); got != want {
			t.Errorf("%d: %d; want %d", size, got, want)
		}
	}
}
