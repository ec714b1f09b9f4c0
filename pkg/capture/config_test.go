package capture

import (
	"bytes"
	"encoding/json"
	"errors"
	"path"
	"reflect"
	"strings"
	"testing"

	"github.com/gokexec/gokexec/pkg/blkid"
	"github.com/gokexec/gokexec/pkg/stack"
)

func TestParseConfig(t *testing.T) {
	raw := Target{Type: TargetRaw, Device: "/dev/nvme0n1"}
	base := Config{FinalAction: Reboot, FailureAction: Reboot, DeviceTimeoutSeconds: 60, StallTimeoutSeconds: 300, NetworkTimeoutSeconds: 45}
	with := func(change func(*Config)) Config { c := base; change(&c); return c }
	const start = `{"targets":[{"type":"raw","device":"/dev/nvme0n1"}]`
	tests := []struct {
		name, in string
		want     Config
		wantErr  string
	}{
		{"defaults", start + `}`, with(func(c *Config) { c.Targets = []Target{raw} }), ""},
		{"everything", `{"targets":[{"type":"filesystem","device":"UUID=1234-ABCD","path":"/var/crash","fstype":"vfat","mount_options":"sync"},
			{"type":"raw","device":"PARTUUID=x","overwrite":true},{"type":"directory","path":"/var/crash"}],
			"final_action":"halt","failure_action":"shell","device_timeout_seconds":5,"stall_timeout_seconds":7,"watchdog":true,"keep_free":"10%","keep_dump_days":30}`,
			Config{Targets: []Target{
				{Type: TargetFilesystem, Device: "UUID=1234-ABCD", Path: "/var/crash", FSType: "vfat", MountOptions: "sync"},
				{Type: TargetRaw, Device: "PARTUUID=x", Overwrite: true}, {Type: TargetDirectory, Path: "/var/crash"},
			}, FinalAction: Halt, FailureAction: Shell, DeviceTimeoutSeconds: 5, StallTimeoutSeconds: 7, NetworkTimeoutSeconds: 45, Watchdog: true, KeepFree: "10%", KeepDumpDays: new(30)}, ""},
		{"no dump is kept", start + `,"keep_dump_days":0}`, with(func(c *Config) { c.Targets, c.KeepDumpDays = []Target{raw}, new(0) }), ""},
		{"empty", "", Config{}, "it is empty"},
		{"no targets", `{}`, Config{}, "no targets"},
		{"unknown key", start + `,"final":"reboot"}`, Config{}, `unknown field "final"`},
		{"unknown key in a target", `{"targets":[{"type":"raw","device":"/dev/x","dir":1}]}`, Config{}, `unknown field "dir"`},
		{"data behind", start + `} {}`, Config{}, "data after the configuration"},
		{"syntax", `{"targets":]`, Config{}, "offset 12: invalid character ']'"},
		{"cut", start, Config{}, "unexpected EOF"},
		{"bad action", start + `,"final_action":"explode"}`, Config{}, `final_action "explode" is not one of`},
		{"bad failure action", start + `,"failure_action":"Reboot"}`, Config{}, `failure_action "Reboot" is not one of`},
		{"negative timeout", start + `,"device_timeout_seconds":-1}`, Config{}, "device_timeout_seconds is -1"},
		{"huge timeout", start + `,"stall_timeout_seconds":9999999}`, Config{}, "stall_timeout_seconds is 9999999"},
		{"bad reserve", start + `,"keep_free":"1GB"}`, Config{}, `keep_free is "1GB"; want a size`},
		{"bad age", start + `,"keep_dump_days":-1}`, Config{}, "keep_dump_days is -1; want 0 to"},
		{"no type", `{"targets":[{"device":"/dev/x"}]}`, Config{}, `targets[0]: type "" is not one of`},
		{"relative path", `{"targets":[{"type":"directory","path":"crash"}]}`, Config{}, `path "crash" is not absolute`},
		{"path that leads out", `{"targets":[{"type":"filesystem","device":"/dev/x","path":"/../etc"}]}`, Config{}, "leads out"},
		{"bad device", `{"targets":[{"type":"raw","device":"sda"}]}`, Config{}, `device "sda"`},
		{"device of a directory", `{"targets":[{"type":"directory","path":"/x","device":"/dev/x"}]}`, Config{}, "takes a path only"},
		{"path on a raw device", `{"targets":[{"type":"raw","path":"/x","device":"/dev/x"}]}`, Config{}, "takes a device and a stack only"},
		{"overwrite of a filesystem", `{"targets":[{"type":"filesystem","device":"/dev/x","overwrite":true}]}`, Config{}, "overwrite is for raw"},
		{"stack", `{"targets":[{"type":"raw","device":"/dev/mapper/x","stack":{"version":1,"layers":[{"name":"sda","size":512,"disk":{"ref":"WWID=x"}}],"tops":[{"layer":0}]}}]}`, with(func(c *Config) {
			c.Targets = []Target{{Type: TargetRaw, Device: "/dev/mapper/x", Stack: &stack.Stack{Version: 1,
				Layers: []stack.Layer{{Name: "sda", Size: 512, Disk: &stack.Disk{Ref: "WWID=x"}}}, Tops: []stack.Top{{}}}}}
		}), ""},
		{"bad stack", `{"targets":[{"type":"raw","device":"/dev/mapper/x","stack":{"version":1,"layers":[{"name":"sda","size":512,"disk":{"ref":"WWID=x"}}],"tops":[{"layer":1}]}}]}`, Config{}, "there is no layer 1"},
		{"stack of a directory", `{"targets":[{"type":"directory","path":"/x","stack":{"version":1,"layers":[{"name":"sda","size":512,"disk":{"ref":"WWID=x"}}],"tops":[{"layer":0}]}}]}`, Config{}, "takes a path only"},
		{"NUL", `{"targets":[{"type":"raw","device":"/dev/x\u0000"}]}`, Config{}, "NUL"},
		{"too large", strings.Repeat(" ", maxConfigSize+1), Config{}, "larger than"},
	}
	for _, tt := range tests {
		got, err := ParseConfig(strings.NewReader(tt.in))
		if tt.wantErr != "" {
			if !errors.Is(err, ErrConfig) || !strings.Contains(err.Error(), tt.wantErr) {
				t.Errorf("%s: ParseConfig: %v; want %q", tt.name, err, tt.wantErr)
			}
			continue
		}
		if err != nil || !reflect.DeepEqual(got, tt.want) {
			t.Errorf("%s: ParseConfig = %+v, %v; want %+v", tt.name, got, err, tt.want)
		}
	}
}

func TestParseTarget(t *testing.T) {
	tests := []struct {
		in   string
		want Target
	}{
		{"/var/crash", Target{Type: TargetDirectory, Path: "/var/crash"}},
		{"dir:/var/crash", Target{Type: TargetDirectory, Path: "/var/crash"}},
		{"raw:/dev/sdb", Target{Type: TargetRaw, Device: "/dev/sdb"}},
		{"raw:PARTUUID=1-2", Target{Type: TargetRaw, Device: "PARTUUID=1-2"}},
		{"fs:UUID=1-2", Target{Type: TargetFilesystem, Device: "UUID=1-2", Path: "/"}},
		{"fs:/dev/sda1:/var/crash/", Target{Type: TargetFilesystem, Device: "/dev/sda1", Path: "/var/crash"}},
		{"fs:/dev/disk/by-path/pci-0000:00:1f.2:/x", Target{Type: TargetFilesystem, Device: "/dev/disk/by-path/pci-0000:00:1f.2", Path: "/x"}},
		{"fs:LABEL=/:/var/crash", Target{Type: TargetFilesystem, Device: "LABEL=/", Path: "/var/crash"}},
		{"fs:LABEL=/boot", Target{Type: TargetFilesystem, Device: "LABEL=/boot", Path: "/"}},
		{"fs:LABEL=my data/x:/y z", Target{Type: TargetFilesystem, Device: `LABEL=my\x20data/x`, Path: "/y z"}},
		{`fs:LABEL="my data":/y\x20z`, Target{Type: TargetFilesystem, Device: `LABEL=my\x20data`, Path: "/y z"}},
		{`raw:/dev/disk/by-partlabel/my\x2fdata`, Target{Type: TargetRaw, Device: "PARTLABEL=my/data"}},
		{"fs:LABEL=a:b:/a:/b", Target{Type: TargetFilesystem, Device: "LABEL=a:b", Path: "/a:/b"}},
		{`dir:/my\x20dir`, Target{Type: TargetDirectory, Path: "/my dir"}},
		{`nfs:nas.example.com:/dumps/my\x20own/`, Target{Type: TargetNFS, Server: "nas.example.com", Path: "/dumps/my own"}},
		{"nfs:[2001:db8::1]:/", Target{Type: TargetNFS, Server: "2001:db8::1", Path: "/"}},
		{"fs:UUID=X:var/crash", Target{}}, {"fs:/dev/sda1:var/crash", Target{}}, {"fs:/dev/disk/by-uuid/x:var", Target{}},
		{"", Target{}}, {"raw:", Target{}}, {"fs:", Target{}}, {"dir:x", Target{}}, {"nfs:host", Target{}}, {"nfs:ho st:/x", Target{}}, {"nfs:2001:db8::1:/x", Target{}}, {"nfs:[2001:db8::1]", Target{}}, {"nfs::/x", Target{}}, {"sda", Target{}},
	}
	for _, tt := range tests {
		got, err := ParseTarget(tt.in)
		if (err != nil) != (tt.want == Target{}) || got != tt.want || err != nil && !errors.Is(err, ErrConfig) {
			t.Errorf("ParseTarget(%q) = %+v, %v; want %+v", tt.in, got, err, tt.want)
		}
	}
}

// A slip is answered with what was meant.
func TestParseTargetWithoutSlash(t *testing.T) {
	_, err := ParseTarget("fs:UUID=X:var/crash")
	if err == nil || !strings.Contains(err.Error(), "must begin with a slash: fs:UUID=X:/var/crash") {
		t.Errorf("ParseTarget: %v; want the spelling with a slash", err)
	}
}

// FuzzTargetText: a target from a configuration, with any label and path, has one
// spelling without blanks, which names the same.
func FuzzTargetText(f *testing.F) {
	f.Add("my data", "/var/crash")
	f.Add("/", "/a:/b")
	f.Add(`\x41"`, "/\u00e9 \\")
	f.Fuzz(func(t *testing.T, label, dir string) {
		want := Target{Type: TargetFilesystem, Device: "LABEL=" + blkid.Escape(label), Path: path.Clean("/" + dir)}
		if label == "" || want.Validate() != nil || strings.Contains(label, "\x00") {
			return
		}
		text := want.String()
		got, err := ParseTarget(text)
		if err != nil || got != want || len(strings.Fields(text)) != 1 {
			t.Errorf("%q is read as %+v, %v; want %+v", text, got, err, want)
		}
	})
}

// FuzzParseConfig: what is accepted is valid, and survives being written and
// read again.
func FuzzParseConfig(f *testing.F) {
	f.Add([]byte(goodConfig))
	f.Add([]byte(`{"targets":[{"type":"filesystem","device":"LABEL=a=b","path":"/x","fstype":"xfs","mount_options":"nouuid"}],"watchdog":true}`))
	f.Add([]byte(`{"targets":[{"type":"raw","device":"/dev/mapper/x","stack":{"version":1,"layers":[{"name":"sda","size":512,"disk":{"ref":"WWID=x"}}],"tops":[{"layer":0}]}}]}`))
	f.Add([]byte(`{"targets":[{"type":"raw","device":"/dev/x","overwrite":true},{"type":"directory","path":"/"}],"stall_timeout_seconds":1}`))
	f.Fuzz(func(t *testing.T, in []byte) {
		c, err := ParseConfig(bytes.NewReader(in))
		if err != nil {
			if !errors.Is(err, ErrConfig) {
				t.Errorf("ParseConfig: %v; want ErrConfig", err)
			}
			return
		}
		if err := c.Validate(); err != nil {
			t.Errorf("accepted, but Validate: %v", err)
		}
		out, err := json.Marshal(c)
		if err != nil {
			t.Fatal(err)
		}
		again, err := ParseConfig(bytes.NewReader(out))
		if err != nil || !reflect.DeepEqual(again, c) {
			t.Errorf("%s is read as %+v, %v; want %+v", out, again, err, c)
		}
	})
}

// FuzzParseTarget: printing a target gives what parses to it.
func FuzzParseTarget(f *testing.F) {
	for _, s := range []string{"/x", "dir:/x", "raw:/dev/x", "fs:UUID=x:/y", "fs:LABEL=a:b", "fs:/dev/a:/b:/c", "fs:LABEL=/:/a b", `fs:LABEL=a\x20b:/c\x5cd`, `raw:LABEL="`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, in string) {
		got, err := ParseTarget(in)
		if err != nil {
			return
		}
		if err := got.Validate(); err != nil {
			t.Errorf("ParseTarget(%q) = %+v: %v", in, got, err)
		}
		if again, err := ParseTarget(got.String()); err != nil || again != got {
			t.Errorf("ParseTarget(%q) = %+v, %v; want %+v", got, again, err, got)
		}
	})
}
