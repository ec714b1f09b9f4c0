package capture

import (
	"reflect"
	"testing"

	"github.com/gokexec/gokexec/pkg/remote"
)

// Each row of the table says all that other packages ask of a kind.
func TestTargetKinds(t *testing.T) {
	if _, err := (Target{Type: "tape"}).kind(); err == nil || (Target{Type: "tape"}).Place() != 0 {
		t.Errorf("a target of an unknown type is accepted (%v)", err)
	}
	all := Target{Device: "/dev/vda", Path: "/crash", FSType: "ext4", MountOptions: "noatime", Overwrite: true, Server: "192.0.2.1"}
	locations := map[TargetType]string{TargetS3: "s3://bucket/x", TargetSSH: "ssh://user@host/x", TargetHTTPS: "https://host/x"}
	for _, k := range targetKinds() {
		all.Type = k.name
		all.Store = &remote.Settings{Location: locations[k.name]}
		own := all.Own()
		if own.Place() == 0 {
			t.Errorf("%s lies on nothing", k.name)
		}
		if err := own.Validate(); err != nil {
			t.Errorf("%s does not take its own fields: %v", k.name, err)
		}
		if all.Validate() == nil {
			t.Errorf("%s takes every field", k.name)
		}
		read, err := ParseTarget(own.String())
		if read.FSType, read.MountOptions, read.Overwrite = own.FSType, own.MountOptions, own.Overwrite; err != nil || !reflect.DeepEqual(read, own) {
			t.Errorf("%s: %+v reads back as %+v, %v", k.name, own, read, err)
		}
	}
}
