package check

import (
	"io"
	"strings"
	"testing"

	"github.com/gokexec/gokexec/internal/imagetest"
	"github.com/gokexec/gokexec/internal/kexectest"
	"github.com/gokexec/gokexec/pkg/advice"
	"github.com/gokexec/gokexec/pkg/machine"
	"github.com/gokexec/gokexec/pkg/plan"
)

func TestInitrd(t *testing.T) {
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
			host := kexectest.NewMachine(t).Host("x86_64")
			in, err := plan.Open(&plan.Spec{Kind: machine.Crash, Kernel: plan.FromBytes("vmlinuz", imagetest.SmallBzImage().Bytes()), Initrd: plan.FromBytes("initrd", tt.initrd), Force: tt.force})
			if err != nil {
				t.Fatal(err)
			}
			p, err := in.Plan(host, plan.Auto)
			if err != nil {
				t.Fatal(err)
			}
			worst := advice.Finding{}
			for _, f := range Initrd(nil, in, p, host) {
				if f.Level > worst.Level {
					worst = f
				}
			}
			if worst.Level != tt.level || !strings.Contains(worst.Detail, tt.text) {
				t.Errorf("Initrd() = %+v; want %v, %q", worst, tt.level, tt.text)
			}
			if p.Kind = machine.Boot; Initrd(nil, in, p, host) != nil {
				t.Error("Initrd() of an ordinary kexec finds something")
			}
		})
	}
}

// readCounter counts the bytes that are read.
type readCounter struct {
	io.ReaderAt
	n int
}

func (r *readCounter) ReadAt(b []byte, off int64) (int, error) {
	n, err := r.ReaderAt.ReadAt(b, off)
	r.n += n
	return n, err
}

// An initrd is unpacked once for a load: before its plan, which has the images in memory.
func TestPrepareInitrd(t *testing.T) {
	host := kexectest.NewMachine(t).Host("x86_64")
	initrd := imagetest.Initramfs("init", "lib/modules/5.10.0-x/nvme.ko")
	spec := &plan.Spec{Kind: machine.Crash, Kernel: plan.FromBytes("vmlinuz", imagetest.SmallBzImage().Bytes()), Initrd: plan.FromBytes("initrd", initrd)}
	open := func() (*plan.Inputs, *readCounter) {
		in, err := plan.Open(spec)
		if err != nil {
			t.Fatal(err)
		}
		r := &readCounter{ReaderAt: in.Initrd.ReaderAt}
		in.Initrd.ReaderAt = r
		return in, r
	}
	in, read := open()
	for range 2 { // a load that is made again
		PrepareInitrd(in, host)
	}
	if read.n != len(initrd) {
		t.Errorf("%d bytes read of an initrd of %d", read.n, len(initrd))
	}
	p, err := in.Plan(host, plan.File)
	if err != nil {
		t.Fatal(err)
	}
	read.n = 0
	if findings := Initrd(nil, in, p, host); len(findings) != 3 || !strings.Contains(findings[2].Detail, "5.10.0-x") || read.n != 0 {
		t.Errorf("Initrd() = %+v, and has read %d bytes; want what was prepared, and none", findings, read.n)
	}
	spec.Kind = machine.Boot
	if in, read = open(); read.n != 0 {
		t.Fatal("opening reads")
	}
	if PrepareInitrd(in, host); read.n != 0 {
		t.Errorf("%d bytes read for an ordinary kexec, which is not checked", read.n)
	}
}
