package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/gokexec/gokexec/internal/sysfs"
	"github.com/gokexec/gokexec/pkg/advice"
	"github.com/gokexec/gokexec/pkg/loader"
	"github.com/gokexec/gokexec/pkg/machine"
	"github.com/gokexec/gokexec/pkg/reservation"
)

// crashSizeFiles have the size of the crash memory; the first is there since 6.19.
var crashSizeFiles = []string{"sys/kernel/kexec/crash_size", "sys/kernel/kexec_crash_size"}

// shrinkReport is what estimate --shrink --json prints, in bytes.
type shrinkReport struct {
	Before uint64 `json:"before_bytes"`
	After  uint64 `json:"after_bytes"`
}

// shrinkReservation gives crash memory back (kernel/kexec_core.c, crash_shrink_memory). The kernel refuses
// while a crash kernel is loaded.
func (e *env) shrinkReservation(ctx context.Context, o *sizeOptions, asJSON bool) error {
	arch, err := machine.NativeArch()
	if err != nil {
		return err
	}
	lock, err := e.lockReload(ctx, loader.DefaultWait) // nobody loads meanwhile
	if err != nil {
		return err
	}
	defer lock.Release()
	m, err := e.reservationMachine(ctx, "", arch, o)
	if err != nil {
		return err
	}
	region, all := m.Reserved()
	spare := reservation.Spare(m)
	report := shrinkReport{all, all}
	switch {
	case all == 0:
		return &advice.Problem{What: "no crash memory is reserved, or it is not known: nothing can be given back", Hint: "run as root"}
	case spare > 0:
		if err := e.refuseLoaded(); err != nil {
			return err
		}
		if err := e.writeCrashSize(region, all, region-spare); err != nil {
			return err
		}
		after, err := e.reservationMachine(ctx, "", arch, o)
		if err != nil {
			return err
		}
		if _, report.After = after.Reserved(); report.After == all {
			return errors.New("the kernel took the new size, and /proc/iomem shows the old one")
		}
	}
	if asJSON {
		return e.printJSON(report)
	}
	if spare == 0 {
		fmt.Fprintf(e.stdout, "nothing to give back: %s are reserved, and %s\n", advice.MiB(all), reservation.Recommend(m))
		return nil
	}
	fmt.Fprintf(e.stdout, "crash memory: %s, was %s; until the next boot, so change crashkernel= too; now load again\n", advice.MiB(report.After), advice.MiB(all))
	return nil
}

func (e *env) refuseLoaded() error {
	loaded := machine.CrashLoaded(os.DirFS(e.sysroot))
	if loaded == nil || !*loaded {
		return nil
	}
	return &advice.Problem{What: "a crash kernel is loaded: its memory can't be given back", Err: unix.EBUSY,
		Hint: "gokexec unload --crash first, and load again after it"}
}

// writeCrashSize sets the size of the region that is loaded into. Since 6.5 the file is about all crash memory, before
// about that region.
func (e *env) writeCrashSize(region, all, want uint64) error {
	for _, name := range crashSizeFiles {
		now, err := sysfs.ReadUint(os.DirFS(e.sysroot), name, 10, 64)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		switch {
		case err != nil:
			return err
		case now == all:
			want += all - region
		case now != region:
			return fmt.Errorf("/%s says %d bytes, /proc/iomem %d: nothing is changed", name, now, all)
		}
		err = os.WriteFile(filepath.Join(e.sysroot, name), []byte(strconv.FormatUint(want, 10)+"\n"), 0)
		switch {
		case errors.Is(err, unix.ENOENT):
			return &advice.Problem{What: "the kernel gives no memory back while a crash kernel is loaded", Hint: "gokexec unload --crash first, and load again after it", Err: err}
		case errors.Is(err, unix.EBUSY):
			return &advice.Problem{What: "another load is under way", Hint: "try again", Err: err}
		case err != nil:
			return fmt.Errorf("set the size of the crash memory: %w", err)
		}
		return nil
	}
	return fmt.Errorf("none of /%s is there: this kernel can't give crash memory back: %w", strings.Join(crashSizeFiles, ", /"), errors.ErrUnsupported)
}
