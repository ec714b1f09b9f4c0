package storage

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/gokexec/gokexec/internal/dumptest"
	"github.com/gokexec/gokexec/internal/vmlab"
	"github.com/gokexec/gokexec/pkg/capture"
)

// Files of the guests.
const (
	gokexec     = "/bin/gokexec"
	guestVMCore = "/lab/vmcore"
)

// A capture finds the disks of each layout under other names, makes the same of them, saves a dump, and takes all down
// again; the tools find nothing amiss afterwards.
func TestVMStorageCapture(t *testing.T) {
	matrix := vmlab.Matrix
	if os.Getenv("GOKEXEC_VM_STORAGE") == "" {
		matrix = func(t *testing.T, test func(t *testing.T, k *vmlab.Kernel)) { vmlab.MatrixOf(t, test, "trixie-cloud") }
	}
	matrix(t, func(t *testing.T, k *vmlab.Kernel) {
		lab := newStorageLab(t, k, usualLayouts())
		var records map[string]*record
		lab.first(booting{tools: true}, func(g *guest) {
			records = g.record()
			for _, l := range lab.layouts {
				if l.late != "" {
					g.must(l, l.late)
				}
			}
			reset(g)
		})
		files := []vmlab.File{vmlab.Executable(gokexec, vmlab.BuildTest(t, "./cmd/gokexec", k.Arch)), {Path: guestVMCore, Data: smallDump()}}
		for _, r := range records {
			for name, key := range r.Keys {
				files = append(files, vmlab.File{Path: capture.KeyDir + "/" + name, Data: key})
			}
		}
		for missing := range partitioned {
			if all() || lab.lacking("md-late", 2) == missing {
				lab.barred(missing, files, records)
			}
		}
		refused := func(l *layout) bool { return l != nil && l.refused != "" }
		before := lab.sums(refused)
		lab.second(booting{swapped: true, files: files}, func(g *guest, l *layout) error {
			if refused(l) {
				return g.refused(l, records[l.name])
			}
			if said := g.capture(l, records[l.name], 60); said.Code != capture.ExitComplete {
				return fmt.Errorf("gokexec capture exits with %d", said.Code)
			}
			return nil
		})
		lab.unchanged(before, "refused")
		for _, err := range lab.third("guest equal $top/2*Z/vmcore "+guestVMCore+"; grep -q '\"complete\"' $top/2*Z/result.json", files[1]) {
			t.Error(err)
		}
	})
}

// refused checks that a capture does not save to a layout, says why, and takes the next target.
func (g *guest) refused(l *layout, r *record) error {
	g.T.Helper()
	next := "/run/next-" + l.name
	if err := g.program("mkdir", next); err != nil {
		return err
	}
	said := g.capture(l, r, 60, capture.Target{Type: capture.TargetDirectory, Path: next})
	saved := g.Glob(next + "/2*Z/vmcore")
	if said.Code != capture.ExitComplete || !strings.Contains(said.Stdout+said.Stderr, l.refused) || len(saved) != 1 {
		return fmt.Errorf("gokexec capture exits with %d, and saves %q; want the reason %q, and a dump on the next target", said.Code, saved, l.refused)
	}
	return g.program("equal", saved[0], guestVMCore)
}

// capture saves a dump to a layout, or one of more targets, and waits for its devices so many seconds.
func (g *guest) capture(l *layout, r *record, seconds int, more ...capture.Target) vmlab.Result {
	g.T.Helper()
	cfg := *r.config
	cfg.DeviceTimeoutSeconds = seconds
	cfg.Targets = append(slices.Clone(cfg.Targets), more...)
	text, err := json.Marshal(cfg)
	if err != nil {
		g.T.Fatal(err)
	}
	g.WriteFile("/lab/config", string(text))
	said := g.Run(gokexec, "capture", "--config", "/lab/config", "--source", guestVMCore)
	g.T.Logf("%s: %s%s", l.name, said.Stdout, said.Stderr)
	return said
}

// lacking is the number of the disk that a device of a layout is on.
func (lab *storageLab) lacking(name string, device int) int {
	return (slices.IndexFunc(lab.layouts, func(l *layout) bool { return l.name == name }) + device - 1) % partitioned
}

// barred is a boot in which one of the partitioned disks is not there, and others are in the places of the rest, by their
// serial numbers: those of other layouts, and a blank one. A capture to what lacks a device, or has another's in its
// place, saves nothing, and changes no byte of what is there.
func (lab *storageLab) barred(missing int, files []vmlab.File, records map[string]*record) {
	lab.t.Helper()
	blank := filepath.Join(lab.t.TempDir(), "blank")
	if err := errors.Join(os.WriteFile(blank, nil, 0o600), os.Truncate(blank, wholeSize<<20)); err != nil {
		lab.t.Fatal(err)
	}
	wholes := []string{blank}
	for _, d := range lab.disks[partitioned:] {
		if !slices.Contains(wholes, d.file) {
			wholes = append(wholes, d.file)
		}
	}
	all := func(*layout) bool { return true }
	before := lab.sums(all)
	g := lab.boot(booting{swapped: true, files: files, disk: func(d labDisk) *labDisk {
		switch number, parts := strings.CutPrefix(d.serial, "parts"); {
		case parts && number == strconv.Itoa(missing):
			return nil
		case !parts:
			d.file, d.drive = wholes[slices.Index(wholes, d.file)-1], "file.locking=off"
		}
		return &d
	}})
	for i, l := range lab.layouts {
		lacking := (missing - i + len(lab.layouts)*partitioned) % partitioned
		if l.refused != "" || l.without == lacking+1 || len(l.parts) > 0 && lacking >= len(l.parts) {
			continue
		}
		if said := g.capture(l, records[l.name], 2); said.Code != capture.ExitFailed {
			lab.t.Errorf("%s lacks device %d, and gokexec capture exits with %d; want %d", l.name, lacking+1, said.Code, capture.ExitFailed)
		}
		if err := g.nothingLeft(); err != nil {
			lab.t.Errorf("%s: %v", l.name, err)
		}
	}
	g.Reboot("poweroff")
	g.WaitEnd()
	lab.unchanged(before, fmt.Sprintf("barred, and disk %d is missing", missing))
}

// sums are digests of the disks that are wanted: each is one layout's, or, without one, has partitions of many.
func (lab *storageLab) sums(wanted func(*layout) bool) map[string][sha256.Size]byte {
	lab.t.Helper()
	sums := map[string][sha256.Size]byte{}
	for _, d := range lab.disks {
		if !wanted(d.layout) {
			continue
		}
		f, err := os.Open(d.file)
		if err != nil {
			lab.t.Fatal(err)
		}
		h := sha256.New()
		_, err = io.Copy(h, f)
		if err := errors.Join(err, f.Close()); err != nil {
			lab.t.Fatal(err)
		}
		sums[d.file] = [sha256.Size]byte(h.Sum(nil))
	}
	return sums
}

// unchanged checks that no byte of disks has changed.
func (lab *storageLab) unchanged(before map[string][sha256.Size]byte, when string) {
	lab.t.Helper()
	now := lab.sums(func(*layout) bool { return true })
	for name, sum := range before {
		if now[name] != sum {
			lab.t.Errorf("%s was written to, and it was %s", name, when)
		}
	}
}

// record is what the program in the guest records of a layout.
type record struct {
	Config  json.RawMessage
	Keys    map[string][]byte
	Refused string

	config *capture.Config // for a dump that equals its source
}

// record asks for what a capture to each layout needs, by their names.
func (g *guest) record() map[string]*record {
	g.T.Helper()
	records := map[string]*record{}
	for _, l := range g.lab.layouts {
		if l.handOver != "" {
			r := &record{}
			if err := json.Unmarshal([]byte(g.Must("guest", "record", l.dir())), r); err != nil || !strings.Contains(r.Refused, "cryptsetup open --test-passphrase") {
				g.T.Errorf("%s: %+v, %v; want a refusal that says how to hand the key over", l.name, r, err)
			}
			if out, err := g.on(l, l.handOver); err != nil {
				g.T.Errorf("%v\n%s", err, out)
			}
		}
		text := g.Must("guest", "record", l.dir())
		r := &record{}
		err := json.Unmarshal([]byte(text), r)
		if err != nil || r.Refused != "" {
			g.T.Fatalf("%s: %v\n%s", l.name, err, text)
		}
		cfg, err := capture.ParseConfig(bytes.NewReader(r.Config))
		if err != nil {
			g.T.Fatalf("%s: %v\n%s", l.name, err, r.Config)
		}
		for name, key := range r.Keys {
			if strings.Contains(string(r.Config), hex.EncodeToString(key)) {
				g.T.Errorf("%s: the key %s is in the configuration", l.name, name)
			}
		}
		g.T.Logf("%s: %s", l.name, r.Config)
		cfg.Format, cfg.DumpLevel, cfg.KeepFree = capture.FormatELF, "0", "1M"
		r.config = &cfg
		records[l.name] = r
	}
	return records
}

// nothingLeft checks that no map, array or mount is there, but for the root of a guest that has the tools.
func (g *guest) nothingLeft() error {
	var left []string
	for line := range strings.Lines(g.ReadFile("/proc/mounts")) {
		if mount := strings.Fields(line); strings.HasPrefix(mount[0], "/dev/") && mount[1] != "/" {
			left = append(left, strings.TrimSpace(line))
		}
	}
	left = append(left, append(g.Glob("/sys/block/dm-*"), g.Glob("/sys/block/md*/md/dev-*")...)...)
	if len(left) > 0 {
		return fmt.Errorf("left behind: %s", strings.Join(left, "; "))
	}
	return nil
}

// smallDump is the memory of a machine, with a kernel log.
func smallDump() []byte {
	m := dumptest.NewImage(dumptest.Archs[0], "6.12.0-test")
	m.Line("CRASHTIME=%d", 1_780_000_000)
	memory := m.Bytes(m.Alloc(1<<20, 4096), 1<<20)
	for i := range memory {
		memory[i] = byte(i%255) + 1
	}
	dumptest.ByteRing(m, 4096, 0, []byte("<3>[    1.000000] storage test\n"))
	return m.Core().Bytes()
}
