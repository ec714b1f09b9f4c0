package loader

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gokexec/gokexec/internal/imagetest"
	"github.com/gokexec/gokexec/pkg/advice"
	"github.com/gokexec/gokexec/pkg/machine"
	"github.com/gokexec/gokexec/pkg/plan"
)

func TestCheckInitrd(t *testing.T) {
	other := imagetest.Initramfs("init", "lib/modules/5.10.0-x/nvme.ko")
	for _, tt := range []struct {
		name   string
		initrd []byte
		force  bool
		level  advice.Level
		text   string
	}{
		{"good", imagetest.Initramfs("init"), false, advice.OK, ""},
		{"none", []byte("root:x:0:0"), false, advice.Failure, "not an initramfs"},
		{"none, forced", []byte("root:x:0:0"), true, advice.Warning, "not an initramfs"},
		{"cut", imagetest.Initramfs("init")[:60], false, advice.Failure, "unexpected EOF"},
		{"garbage behind", append(imagetest.Initramfs("init"), "garbage"...), false, advice.Warning, "something else than an archive follows"},
		{"garbage behind microcode", append(imagetest.Initramfs("kernel/x86/microcode/GenuineIntel.bin"), "garbage"...), false, advice.Failure, "something else than an archive follows"},
		{"a ramdisk", append([]byte("hsqs"), make([]byte, 4096)...), false, advice.Warning, "a ramdisk with squashfs"},
		{"of another kernel", other, false, advice.Warning, "has modules of 5.10.0-x, the kernel is "},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := newBench(t)
			spec := *specOf(t, b, tt.initrd)
			spec.Force = tt.force
			host, err := machine.ReadHost(b.Root, b.Arch)
			if err != nil {
				t.Fatal(err)
			}
			p, err := plan.New(host, &spec)
			if err != nil {
				t.Fatal(err)
			}
			worst := advice.Finding{}
			for _, f := range CheckInitrd(p, host) {
				if f.Level > worst.Level {
					worst = f
				}
			}
			if worst.Level != tt.level || !strings.Contains(worst.Detail, tt.text) {
				t.Errorf("CheckInitrd() = %+v; want %v, %q", worst, tt.level, tt.text)
			}
			if p.Kind = machine.Boot; CheckInitrd(p, host) != nil {
				t.Error("CheckInitrd() of an ordinary kexec finds something")
			}
		})
	}
}

func specOf(t *testing.T, b *bench, initrd []byte) *plan.Spec {
	t.Helper()
	spec := &plan.Spec{Kind: machine.Crash}
	for name, data := range map[string][]byte{"vmlinuz": imagetest.SmallBzImage().Bytes(), "initrd": initrd} {
		if err := os.WriteFile(filepath.Join(b.dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var err error
	if spec.Kernel, err = plan.Open(filepath.Join(b.dir, "vmlinuz")); err != nil {
		t.Fatal(err)
	}
	if spec.Initrd, err = plan.Open(filepath.Join(b.dir, "initrd")); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { spec.Close() })
	return spec
}

// An initrd that was taken as it is, and has not changed, does not keep a reload or a restore from
// being made because the kernel was written anew.
func TestRefuseChangedOnlyWhatChanged(t *testing.T) {
	b := newBench(t)
	host, err := machine.ReadHost(b.Root, b.Arch)
	if err != nil {
		t.Fatal(err)
	}
	p, err := plan.New(host, specOf(t, b, []byte("no initramfs")))
	if err != nil {
		t.Fatal(err)
	}
	if err := b.refuseChanged(p, []string{p.Kernel.Path}); err != nil {
		t.Errorf("refuseChanged(kernel) = %v; want the initrd left alone", err)
	}
	if err := b.refuseChanged(p, []string{p.Initrd.Path}); err == nil || !strings.Contains(err.Error(), "what is loaded is kept") {
		t.Errorf("refuseChanged(initrd) = %v; want it refused", err)
	}
	if err := b.refuseRestored(p, []string{p.Initrd.Path}); err == nil {
		t.Error("refuseRestored(initrd) = nil; want it refused")
	}
}
