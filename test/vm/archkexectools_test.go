package vm

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/gokexec/gokexec/internal/vmlab"
	"github.com/gokexec/gokexec/pkg/fdt"
	"github.com/gokexec/gokexec/pkg/memmap"
)

// kexec-tools and gokexec on the same machine of the other architectures, whose kernels
// have no kexec_file_load: what either leaves in the crash region says the same of
// the machine; as kexec(8) gokexec does the same; and what it has loaded so works.
func TestVMKexecToolsArch(t *testing.T) {
	vmlab.MoreArchMatrix(t, func(t *testing.T, k *vmlab.Kernel) {
		theirs, err := vmlab.GetArchPackage(t, "sid", "kexec-tools", k.Arch).GuestProgram("sbin/kexec")
		if err != nil {
			t.Fatal(err)
		}
		cfg := archMachine(t, k)
		cfg.Files = append(append(append(cfg.Files, shellFiles(t, k)...), theirs.Files...),
			vmlab.File{Path: "/sbin/kexec", Link: "/bin/gokexec"}, smallInitrd(t))
		g := vmlab.Boot(t, cfg)
		compareLoads(t, g, theirs.Argv)
		for _, line := range kexecLines {
			if k.Arch == "riscv64" && strings.Contains(line.argv, " K") {
				continue // loads take seconds there; two are made before and after
			}
			// To others than root /proc/iomem hides the crash memory, so that kexec-tools
			// finds none, and on riscv64 nothing can be asked without the device tree.
			if line.user != "" && (k.Arch == "riscv64" || !strings.Contains(line.argv, "-u")) {
				continue
			}
			ours, original := runKexec(g, line, theirs.Argv, "/sbin/kexec"), runKexec(g, line, theirs.Argv, theirs.Argv...)
			if k.Arch == "riscv64" && strings.Contains(line.argv, "initrd=/nonexistent") && ours.code != 0 {
				original.code, original.stderr = ours.code, ours.stderr // see Differences
			}
			if ours != original {
				t.Errorf("after %q, kexec %s: %+v; kexec-tools %+v", line.before, line.argv, ours, original)
			}
		}
		// As distributions' scripts call it.
		g.Must("/sbin/kexec", "-p", "-a", guestKernel, "--initrd="+guestInitrd, "--command-line="+k.ConsoleArg()+" nr_cpus=1 reset_devices cma=0")
		if s := readStatus(t, g); s.Header.Accuracy != "accurate" {
			t.Errorf("status after kexec -p: %+v; want accurate", s)
		}
		crashSegments(t, g)
	}, "trixie-arm64", "trixie-riscv64")
}

// compareLoads holds the headers and device trees against each other. On riscv64
// kexec-tools (2.0.32) leaves out of the dump what the kernel had reserved at its
// boot, the page structures too, and has other virtual addresses; there gokexec's
// header must have all that its has.
func compareLoads(t *testing.T, g *vmlab.Guest, kexecTools []string) {
	t.Helper()
	k := g.VM.Config.Kernel
	g.Must(append(slices.Clone(kexecTools), "-p", "-c", guestKernel, "--initrd="+guestInitrd, "--command-line="+k.ConsoleArg())...)
	theirs, theirTree := readHeader(t, g, "show", "--loaded"), onlyTree(t, g)

	load := []string{gokexec, "load", "--crash", guestKernel, "--initrd", guestInitrd, "--method", "segments", "--cmdline-exact", "--cmdline", k.ConsoleArg()}
	var plan struct {
		Load struct {
			Segments []struct {
				Role  string `json:"role"`
				Start int64  `json:"start"`
			} `json:"segments"`
		} `json:"kexec_load"`
	}
	if err := json.Unmarshal([]byte(g.Must(append(slices.Clone(load), "--dry-run", "--json")...)), &plan); err != nil {
		t.Fatal(err)
	}
	g.Must(load...)
	ours := readHeader(t, g, "show", "--loaded")
	if !slices.Equal(ours.CPUNotes, theirs.CPUNotes) || ours.Info != theirs.Info {
		t.Errorf("gokexec's header has notes %v, %v; kexec-tools' %v, %v", ours.CPUNotes, ours.Info, theirs.CPUNotes, theirs.Info)
	}
	if k.Arch == "arm64" && !slices.Equal(ours.Loads, theirs.Loads) {
		t.Errorf("gokexec's header has %v; kexec-tools' %v", ours.Loads, theirs.Loads)
	}
	if extra := theirs.memory().Minus(ours.memory()); !extra.Empty() {
		t.Errorf("kexec-tools' dump would have %v, gokexec's not", extra)
	}
	if s := readStatus(t, g); s.Header.Accuracy != "accurate" {
		t.Errorf("status: %+v; want accurate", s)
	}
	for _, s := range plan.Load.Segments {
		if s.Role == "dtb" {
			compareTrees(t, treeAt(t, g, s.Start), theirTree)
		}
	}
	g.Must(gokexec, "unload", "--crash")
}

func treeAt(t *testing.T, g *vmlab.Guest, at int64) *fdt.Tree {
	t.Helper()
	b := make([]byte, 64<<10)
	if _, err := g.VM.Physical().ReadAt(b, at); err != nil {
		t.Fatal(err)
	}
	tree, err := fdt.Parse(b)
	if err != nil {
		t.Fatalf("device tree at %#x: %v", at, err)
	}
	return tree
}

// onlyTree finds the device tree in the crash region.
func onlyTree(t *testing.T, g *vmlab.Guest) *fdt.Tree {
	t.Helper()
	iomem, err := memmap.ParseIomem(strings.NewReader(g.ReadFile("/proc/iomem")))
	if err != nil {
		t.Fatal(err)
	}
	region := iomem.CrashKernel()[0]
	b := make([]byte, region.Size())
	if _, err := g.VM.Physical().ReadAt(b, int64(region.Start)); err != nil {
		t.Fatal(err)
	}
	magic := binary.BigEndian.AppendUint32(nil, fdt.Magic)
	var found []int64
	for at := 0; at < len(b); at += 4096 {
		if bytes.HasPrefix(b[at:], magic) {
			found = append(found, int64(region.Start)+int64(at))
		}
	}
	if len(found) != 1 {
		t.Fatalf("%d device trees in the crash region, at %#x; want 1", len(found), found)
	}
	return treeAt(t, g, found[0])
}

// compareTrees leaves out where things are, and seeds.
func compareTrees(t *testing.T, ours, theirs *fdt.Tree) {
	t.Helper()
	usable := func(tree *fdt.Tree) []byte {
		v, _ := tree.Root.Child("chosen").Property("linux,usable-memory-range")
		return v
	}
	if got, want := usable(ours), usable(theirs); !bytes.Equal(got, want) {
		t.Errorf("linux,usable-memory-range = %x; kexec-tools has %x", got, want)
	}
	for _, tree := range []*fdt.Tree{ours, theirs} {
		chosen := tree.Root.Child("chosen")
		for _, name := range []string{"linux,initrd-start", "linux,initrd-end", "linux,elfcorehdr"} {
			if _, found := chosen.Property(name); !found {
				t.Errorf("a tree lacks %s: %+v", name, chosen)
			}
			chosen.Delete(name)
		}
		args, _ := chosen.Property("bootargs")
		chosen.SetString("bootargs", string(bytes.TrimRight(args, "\x00"))) // kexec-tools ends it more than once
		chosen.Delete("linux,usable-memory-range", "kaslr-seed", "rng-seed", "linux,booted-from-kexec")
		sortTree(tree.Root)
	}
	if !reflect.DeepEqual(ours.Root, theirs.Root) {
		t.Errorf("gokexec's device tree is not that of kexec-tools: /chosen is\n%+v\n%+v", ours.Root.Child("chosen"), theirs.Root.Child("chosen"))
	}
}

func sortTree(n *fdt.Node) {
	slices.SortFunc(n.Properties, func(a, b fdt.Property) int { return strings.Compare(a.Name, b.Name) })
	slices.SortFunc(n.Children, func(a, b *fdt.Node) int { return strings.Compare(a.Name, b.Name) })
	for _, c := range n.Children {
		sortTree(c)
	}
}
