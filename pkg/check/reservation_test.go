package check

import (
	"os"
	"strings"
	"testing"

	"github.com/gokexec/gokexec/internal/imagetest"
	"github.com/gokexec/gokexec/internal/kexectest"
	"github.com/gokexec/gokexec/pkg/advice"
	"github.com/gokexec/gokexec/pkg/initramfs"
	"github.com/gokexec/gokexec/pkg/machine"
	"github.com/gokexec/gokexec/pkg/plan"
	"github.com/gokexec/gokexec/pkg/reservation"
)

// What is to be loaded counts: the same reservation is enough for a small initramfs, and not for a large one. A load
// finds the same, if it is told where the machine is.
func TestReservation(t *testing.T) {
	m := kexectest.NewMachine(t)
	m.Write("proc/iomem", strings.Replace(kexectest.Iomem, "36000000-3dffffff", "2e000000-3dffffff", 1)) // 256 MiB
	host, root := m.Host("x86_64"), os.DirFS(m.Dir)
	in, err := plan.Open(&plan.Spec{Kind: machine.Crash, Kernel: plan.FromBytes("vmlinuz", imagetest.SmallBzImage().Bytes()), Initrd: plan.FromBytes("initrd", imagetest.Initramfs("init"))})
	if err != nil {
		t.Fatal(err)
	}
	p, err := in.Plan(host, plan.Auto)
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name     string
		unpacked uint64
		cpus     int
		want     advice.Level
	}{{"small", 1 << 20, 1, advice.OK}, {"large", 300 << 20, 1, advice.Warning}, {"CPUs", 1 << 20, 100, advice.Warning}} {
		p.Spec.CPUs = tt.cpus
		found := Reservation(root, host, p, &initramfs.Contents{Unpacked: tt.unpacked})
		if len(found) != 1 || found[0].Check != reservation.CheckID || found[0].Level != tt.want {
			t.Errorf("%s: %+v; want %v", tt.name, found, tt.want)
		}
	}
	p.Spec.CPUs = 100
	if all := Initrd(root, in, p, host); all[len(all)-1].Check != reservation.CheckID || all[len(all)-1].Level != advice.Warning {
		t.Errorf("Initrd() = %+v; want the reservation too", all)
	}
	if all := Initrd(nil, in, p, host); all[len(all)-1].Check == reservation.CheckID {
		t.Errorf("Initrd() without the machine's tree = %+v", all)
	}
	m.Write("proc/iomem", strings.Replace(kexectest.Iomem, "  36000000-3dffffff : Crash kernel\n", "", 1))
	if found := Reservation(root, m.Host("x86_64"), p, nil); found != nil {
		t.Errorf("without crash memory: %+v; want nothing", found)
	}
}
