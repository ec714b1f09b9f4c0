package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"time"

	"golang.org/x/sys/unix"

	"github.com/gokexec/gokexec/pkg/advice"
	"github.com/gokexec/gokexec/pkg/dumpdir"
	"github.com/gokexec/gokexec/pkg/remote"
	"github.com/gokexec/gokexec/pkg/seal"
	"github.com/gokexec/gokexec/pkg/store"
)

// memoryLimit is what the garbage collector aims at, in bytes: two parts and what TLS needs.
const memoryLimit = 28 << 20

// serve stores what comes through a pipe.
func serve(ctx context.Context, job remote.Job, in io.Reader, out, errs io.Writer) error {
	debug.SetMemoryLimit(memoryLimit)
	receiver := remote.NewReceiver(in, out)
	recipients, err := seal.ParseRecipients(job.Settings.Encrypt)
	var st store.Store
	if err == nil {
		st, err = store.Open(ctx, job.Settings, options(job, errs))
	}
	if err != nil {
		return receiver.Refuse(err, advice.Hint(err))
	}
	defer st.Close()
	saved := &savedCrash{store: st, crash: job.Crash, encrypted: len(recipients) > 0}
	// The store is there if it takes this.
	if err := saved.begin(ctx); err != nil {
		return receiver.Refuse(err, advice.Hint(err))
	}
	err = receiver.Serve(func(o remote.Object, r io.Reader) (remote.Stored, error) {
		name := saved.name(o.Name)
		r = saved.see(o.Name, r)
		if len(recipients) > 0 && !o.Plain {
			name += dumpdir.Encrypted
			sealed := recipients.Reader(r)
			defer sealed.Close()
			r = sealed
			if o.Estimate > 0 {
				o.Estimate += seal.Overhead(o.Estimate)
			}
		}
		stored, err := st.Put(ctx, name, store.Source{Reader: r, Estimate: o.Estimate})
		if err == nil {
			err = saved.stored(ctx, o.Name, stored)
		}
		return stored, err
	}, advice.Hint)
	return errors.Join(err, saved.end(ctx))
}

// options are the surroundings of a store in this process. In a capture kernel the clock is set first.
func options(job remote.Job, errs io.Writer) store.Options {
	opt := store.Options{Getenv: os.Getenv, Say: func(format string, args ...any) { fmt.Fprintf(errs, "gokexec-remote: "+format+"\n", args...) }}
	if !job.Capture {
		return opt
	}
	opt.SetClock = setClock
	if job.Crash == nil {
		return opt
	}
	var boot unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &boot); err != nil {
		return opt
	}
	now := time.Now()
	if t := store.Clock(now, job.Crash.Time, time.Duration(boot.Nano())); t.After(now) {
		if err := setClock(t); err != nil {
			opt.Say("the clock says %s, which is before the crash, and can't be set: %v", now.UTC().Format(time.RFC3339), err)
		} else {
			opt.Say("the clock said %s, which is before the crash; it is set to %s", now.UTC().Format(time.RFC3339), t.UTC().Format(time.RFC3339))
		}
	}
	return opt
}

// setClock sets the clock of the machine. The hardware's stays as it is.
func setClock(t time.Time) error {
	ts := unix.NsecToTimespec(t.UnixNano())
	return unix.ClockSettime(unix.CLOCK_REALTIME, &ts)
}

func decrypt(files []string, in io.Reader, out io.Writer) error {
	if len(files) == 0 {
		return errors.New("decrypt: want files with private keys")
	}
	var all []seal.Identity
	for _, name := range files {
		keys, err := seal.ReadIdentities(name)
		if err != nil {
			return err
		}
		all = append(all, keys...)
	}
	return seal.Decrypt(out, in, all)
}
