package remote_test

import (
	"strings"
	"testing"

	"github.com/gokexec/gokexec/pkg/remote"
)

func TestParseLocation(t *testing.T) {
	for text, want := range map[string]remote.Location{
		"s3://crashes":                         {Kind: remote.S3, Bucket: "crashes"},
		"s3://crashes/":                        {Kind: remote.S3, Bucket: "crashes"},
		"s3://crashes/a//b/":                   {Kind: remote.S3, Bucket: "crashes", Path: "a/b"},
		"ssh://kdump@host/var/crash":           {Kind: remote.SSH, User: "kdump", Host: "host", Path: "/var/crash"},
		"ssh://kdump@[2001:db8::1]:2222/~/x":   {Kind: remote.SSH, User: "kdump", Host: "2001:db8::1", Port: 2222, Path: "x"},
		"ssh://kdump@host/~":                   {Kind: remote.SSH, User: "kdump", Host: "host", Path: "."},
		"https://dumps.example.com:8443/a%20b": {Kind: remote.HTTP, Host: "dumps.example.com", Port: 8443, Path: "a b"},
		"https://dumps.example.com":            {Kind: remote.HTTP, Host: "dumps.example.com"},
	} {
		got, err := remote.ParseLocation(text)
		if err != nil || got != want {
			t.Errorf("%s: %+v, %v; want %+v", text, got, err, want)
		}
		if again, err := remote.ParseLocation(got.String()); err != nil || again != got {
			t.Errorf("%s is printed as %s: %+v, %v", text, got, again, err)
		}
	}
	for text, want := range map[string]string{
		"":                        "want s3://",
		"/var/crash":              "want s3://",
		"ftp://host/x":            "want s3://",
		"s3://":                   "the name of the bucket",
		"s3://ab/x":               "3 to 63",
		"s3://user@bucket/x":      "no user",
		"s3://bucket?region=x":    "no query",
		"ssh://host/x":            "names no user",
		"ssh://-oProxy@host/x":    "names no user",
		"ssh://u@host":            "names no directory",
		"ssh://u:secret@host/x":   "no password",
		"ssh://u@host:0/x":        "port",
		"ssh://u@host:70000/x":    "port",
		"http://host/x":           "use https://",
		"https://user@host/x":     "client certificate",
		"https:///x":              "names no host",
		"https://host/\nx":        "want s3://",
		"https://host:8443/x#y":   "no fragment",
		"ssh://u@host/%zz":        "want s3://",
		"s3://buc ket/x":          "want s3://",
		"s3://bucket/../../etc/x": "",
	} {
		l, err := remote.ParseLocation(text)
		if want == "" {
			if err != nil || strings.Contains(l.Path, "..") {
				t.Errorf("%q: %+v, %v", text, l, err)
			}
			continue
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %+v, %v; want %q", text, l, err, want)
		}
		if err != nil && strings.Contains(err.Error(), "secret") {
			t.Errorf("the error shows the password: %v", err)
		}
	}
}

// What is read is printed so that the same is read again, and no name leaves the location.
func FuzzParseLocation(f *testing.F) {
	for _, s := range []string{"s3://bucket/a/b", "ssh://u@host:22/~/x", "ssh://u@[::1]/x", "https://host/a%2fb", "https://h/%00"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		l, err := remote.ParseLocation(s)
		if err != nil {
			return
		}
		again, err := remote.ParseLocation(l.String())
		if err != nil || again != l {
			t.Fatalf("%q: %+v; %q: %+v, %v", s, l, l.String(), again, err)
		}
	})
}
