package vm

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"

	"github.com/gokexec/gokexec/internal/vmlab"
)

// What crash(8) and drgn(1) are asked. The answers must not depend on the form of the dump, nor on
// the pages that were left out.
const (
	crashCommands = "sys\nps\nbt -a\nkmem -i\nlog\nmod\nquit\n"
	drgnScript    = `from drgn.helpers.linux.pid import for_each_task
from drgn.helpers.linux.mm import totalram_pages
for task in for_each_task(prog):
    print(task.pid.value_(), task.comm.string_().decode(), hex(task.value_()))
print(prog["jiffies"].value_(), totalram_pages(prog), prog["init_uts_ns"].name.release.string_().decode())
`
)

// TestVMReaders opens every form of a dump that gokexec writes with programs that are not ours, and
// compares what they say with what they say about the whole dump of the same crash. It needs the
// kernel's debugging information, a download of 1 GB: make test-readers.
func TestVMReaders(t *testing.T) {
	if os.Getenv("GOKEXEC_VM_READERS") == "" {
		t.Skip("not in this run: it needs GOKEXEC_VM_READERS=1 (make test-readers)")
	}
	vmlab.Matrix(t, func(t *testing.T, k *vmlab.Kernel) {
		vmlinux := vmlab.GetTestDebugKernel(t, k)
		g := vmlab.Boot(t, crashMachine(t, k, "--set", "nvme", "--format", "elf", "--dump-level", "0", "raw:/dev/nvme0n1"))
		loadCrash(t, g)
		g.Plant(50)
		g.Crash()
		g.WaitEnd()
		dir := t.TempDir()
		run(t, "tar", "-xf", g.VM.Disk(0), "-C", dir)
		whole := filepath.Join(dir, "vmcore")
		ask := newReaders(t, vmlinux, dir)
		want := ask(whole)
		for _, form := range readerForms() {
			t.Run(form.name, func(t *testing.T) {
				dump := filepath.Join(dir, form.name)
				argv := append([]string{"dump", "-o", dump}, append(form.args, whole)...)
				cmd := exec.Command(vmlab.BuildTest(t, "./cmd/gokexec", runtime.GOARCH), argv...)
				if text, err := cmd.CombinedOutput(); err != nil {
					t.Fatalf("gokexec %s: %v\n%s", strings.Join(argv, " "), err, text)
				}
				defer os.Remove(dump)
				size, err := os.Stat(dump)
				if err != nil {
					t.Fatal(err)
				}
				got := ask(dump)
				for program := range want {
					if got[program] != want[program] {
						t.Errorf("%s says of the dump\n%s\nand of the whole one\n%s", program, got[program], want[program])
						continue
					}
					t.Logf("%s: %d lines, equal to those of the whole dump; %d MB", program, strings.Count(got[program], "\n"), size.Size()/1e6)
				}
			})
		}
	})
}

// readerForm is a form of dump, and the options that make it.
type readerForm struct {
	name string
	args []string
}

func readerForms() []readerForm {
	var forms []readerForm
	for _, level := range []string{"0", "31"} {
		for _, codec := range []string{"zstd", "zlib", "lzo", "snappy", "none"} {
			forms = append(forms, readerForm{"kdump-" + codec + "-" + level, []string{"--format", "kdump", "--compress", codec, "--dump-level", level}})
		}
		forms = append(forms, readerForm{"elf-" + level, []string{"--format", "elf", "--dump-level", level}},
			readerForm{"flattened-" + level, []string{"--format", "flattened", "--dump-level", level}},
			readerForm{"flattened-elf-" + level, []string{"--format", "flattened-elf", "--dump-level", level}})
	}
	return forms
}

// newReaders returns a function that asks crash and drgn about a dump.
func newReaders(t *testing.T, vmlinux, dir string) func(dump string) map[string]string {
	t.Helper()
	crash, err := vmlab.GetTestPackage(t, "sid", "crash").HostProgram("usr/bin/crash")
	if err != nil {
		t.Fatal(err)
	}
	commands, script := filepath.Join(dir, "commands"), filepath.Join(dir, "script.py")
	for name, text := range map[string]string{commands: crashCommands, script: drgnScript} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	p := vmlab.GetTestPackage(t, "sid", "python3-drgn")
	pythons, err := filepath.Glob(p.Path("usr/bin/python3.[0-9]*"))
	if err != nil || len(pythons) != 1 {
		t.Fatalf("python in %s: %v, %v; want one", p.Root, pythons, err)
	}
	python, err := p.HostProgram("usr/bin/" + filepath.Base(pythons[0]))
	if err != nil {
		t.Fatal(err)
	}
	// The name of the dump, and whether it is one that lacks pages, are all that may differ; and of a
	// flattened ELF core with holes crash says that the stream is shorter than the file in it.
	name := regexp.MustCompile(`(?m)^ *DUMPFILE: .*\n|\A\n?WARNING: .*flattened-elf.*\n(?: .*\n)+\n`)
	return func(dump string) map[string]string {
		answers := map[string]string{}
		for _, q := range []struct {
			program string
			argv    []string
		}{
			{"crash", append(crash.Argv, "-s", "-i", commands, vmlinux, dump)},
			{"drgn", append(python.Argv, "-m", "drgn", "-q", "-c", dump, "-s", vmlinux, script)},
		} {
			cmd := exec.Command(q.argv[0], q.argv[1:]...)
			cmd.Env = append(os.Environ(), "PYTHONHOME="+p.Path("usr"), "PYTHONPATH="+p.Path("usr/lib/python3/dist-packages"))
			var stderr strings.Builder
			cmd.Stderr = &stderr
			text, err := cmd.Output()
			if err != nil || len(text) == 0 {
				t.Errorf("%s %s: %v\n%s%s", q.program, dump, err, text, &stderr)
			}
			answers[q.program] = string(name.ReplaceAll(text, nil))
		}
		return answers
	}
}
