package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"time"

	"github.com/coreos/go-systemd/v22/journal"

	"github.com/gokexec/gokexec/pkg/fleet"
	"github.com/gokexec/gokexec/pkg/remote"
	"github.com/gokexec/gokexec/pkg/seal"
	"github.com/gokexec/gokexec/pkg/ship"
	"github.com/gokexec/gokexec/pkg/store"
)

// The MESSAGE_ID of entries in the journal (systemd.journal-fields(7)): what ship did, and that it failed.
const (
	messageShipped = "0b8f7c5e6c5d4c5fa0c0f3b1f7d2a941"
	messageFailed  = "5f9b1b2f7e7a4f0c9d6f2f1a3c8e7d60"
)

// shipDumps sends the dumps of directories.
func shipDumps(ctx context.Context, job remote.Job, out, errs io.Writer) error {
	todo := job.Ship
	if todo == nil || len(todo.Directories) == 0 {
		return errors.New("ship: the job names no directory")
	}
	machine, err := fleet.MachineID(os.DirFS(todo.Root))
	if err != nil {
		return err
	}
	recipients, err := seal.ParseRecipients(job.Settings.Encrypt)
	if err != nil {
		return err
	}
	opt := options(job, errs)
	opt.About = map[string]string{"machine": machine}
	st, err := store.Open(ctx, job.Settings, opt)
	if err != nil {
		return err
	}
	defer st.Close()
	s := &ship.Shipper{
		Store: st, Location: job.Settings.Location, MachineID: machine, Encrypt: recipients, Limit: todo.MaxPerFingerprint,
		TTL: time.Duration(todo.ClaimSeconds) * time.Second, Keep: todo.Keep, Say: opt.Say,
	}
	all := map[string]ship.Summary{}
	var failed []error
	deferred := false
	for _, dir := range todo.Directories {
		sum, err := s.Run(ctx, dir)
		all[dir] = sum
		tell(dir, job.Settings.Location, sum, err)
		switch {
		case errors.Is(err, ship.ErrDeferred):
			deferred = true
		case err != nil:
			failed = append(failed, err)
		}
		if !todo.JSON {
			fmt.Fprintf(out, "%s: %d dumps: %d sent, %d not needed, %d pending; %d MB sent, %d MB were there already, %d MB freed\n",
				dir, sum.Dumps, sum.Sent, sum.Duplicates, sum.Pending, sum.Bytes/1e6, sum.Reused/1e6, sum.Freed/1e6)
		}
	}
	if todo.JSON {
		enc := json.NewEncoder(out)
		enc.SetIndent("", "  ")
		failed = append(failed, enc.Encode(map[string]any{"directories": all}))
	}
	if err := errors.Join(failed...); err != nil {
		return err
	}
	if deferred {
		return ship.ErrDeferred
	}
	return nil
}

// tell makes an entry in the journal, where there is one and something was done.
func tell(dir, location string, sum ship.Summary, err error) {
	if !journal.Enabled() || sum.Sent+sum.Duplicates == 0 && err == nil {
		return
	}
	fields := map[string]string{
		"MESSAGE_ID": messageShipped, "SYSLOG_IDENTIFIER": "gokexec-ship", "GOKEXEC_DIRECTORY": dir, "GOKEXEC_LOCATION": location,
		"GOKEXEC_SENT": strconv.Itoa(sum.Sent), "GOKEXEC_DUPLICATES": strconv.Itoa(sum.Duplicates), "GOKEXEC_PENDING": strconv.Itoa(sum.Pending),
		"GOKEXEC_BYTES": strconv.FormatInt(sum.Bytes, 10),
	}
	text, priority := fmt.Sprintf("%d dumps of %s are stored at %s", sum.Sent, dir, location), journal.PriNotice
	if err != nil && !errors.Is(err, ship.ErrDeferred) {
		fields["MESSAGE_ID"], fields["GOKEXEC_ERROR"] = messageFailed, err.Error()
		text, priority = fmt.Sprintf("dumps of %s could not be stored at %s: %v", dir, location, err), journal.PriErr
	}
	_ = journal.Send(text, priority, fields) // it is told on standard error, too
}
