package storage

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
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
	if !all() {
		matrix = func(t *testing.T, test func(t *testing.T, k *vmlab.Kernel)) { vmlab.MatrixOf(t, test, "trixie-cloud") }
	}
	matrix(t, func(t *testing.T, k *vmlab.Kernel) {
		lab := newStorageLab(t, k, usualLayouts())
		var records map[string]*record
		lab.first(booting{tools: true}, func(g *guest) {
			records = g.record()
			reset(g)
		})
		files := []vmlab.File{vmlab.Executable(gokexec, vmlab.BuildTest(t, "./cmd/gokexec", k.Arch)), {Path: guestVMCore, Data: smallDump()}}
		for _, r := range records {
			for name, key := range r.Keys {
				files = append(files, vmlab.File{Path: capture.KeyDir + "/" + name, Data: key})
			}
		}
		lab.second(booting{swapped: true, files: files}, func(g *guest, l *layout) error {
			g.WriteFile("/lab/config", string(records[l.name].config))
			r := g.Run(gokexec, "capture", "--config", "/lab/config", "--source", guestVMCore)
			t.Logf("%s: %s%s", l.name, r.Stdout, r.Stderr)
			if r.Code != 0 {
				return fmt.Errorf("gokexec capture exits with %d", r.Code)
			}
			return nil
		})
		for _, err := range lab.third("guest equal $top/2*Z/vmcore "+guestVMCore+"; grep -q '\"complete\"' $top/2*Z/result.json", files[1]) {
			t.Error(err)
		}
	})
}

// record is what the program in the guest records of a layout.
type record struct {
	Config  json.RawMessage
	Keys    map[string][]byte
	Refused string

	config []byte // for a dump that equals its source
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
		if r.config, err = json.Marshal(cfg); err != nil {
			g.T.Fatal(err)
		}
		records[l.name] = r
	}
	return records
}

// nothingLeft checks that no map, array or mount is there.
func (g *guest) nothingLeft() error {
	var left []string
	for line := range strings.Lines(g.ReadFile("/proc/mounts")) {
		if strings.HasPrefix(line, "/dev/") {
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
