package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/gokexec/gokexec/pkg/fleet"
	"github.com/gokexec/gokexec/pkg/remote"
	"github.com/gokexec/gokexec/pkg/seal"
	"github.com/gokexec/gokexec/pkg/store"
)

// prepare checks what settings name, and prints them with the keys of the server, for a kernel that has no files of them.
func prepare(ctx context.Context, job remote.Job, out io.Writer) error {
	if _, err := seal.ParseRecipients(job.Settings.Encrypt); err != nil {
		return err
	}
	done, err := store.Prepare(ctx, job.Settings)
	if err == nil {
		done.Machine, err = fleet.MachineID(os.DirFS("/"))
	}
	if err != nil {
		return err
	}
	enc := json.NewEncoder(out)
	enc.SetIndent("", "  ")
	return enc.Encode(done)
}

// try stores a small object, reads it back, and deletes it: what a capture and ship will need.
func try(ctx context.Context, job remote.Job, errs io.Writer) error {
	if _, err := seal.ParseRecipients(job.Settings.Encrypt); err != nil {
		return err
	}
	opt := options(job, errs)
	opt.About = map[string]string{"purpose": "check"}
	st, err := store.Open(ctx, job.Settings, opt)
	if err != nil {
		return err
	}
	defer st.Close()
	random := make([]byte, 32)
	_, _ = rand.Read(random)
	data := []byte("gokexec check --target " + hex.EncodeToString(random) + "\n")
	name := "gokexec-check-" + hex.EncodeToString(random[:8])
	if _, err := st.Put(ctx, name, store.Source{Reader: bytes.NewReader(data), Estimate: int64(len(data))}); err != nil {
		return fmt.Errorf("store a small object: %w", err)
	}
	if !strings.HasPrefix(job.Settings.Credentials, remote.FromMint) {
		got, _, err := st.Get(ctx, name, int64(len(data))+1)
		if err == nil && !bytes.Equal(got, data) {
			err = fmt.Errorf("%d bytes, which are not those that were stored", len(got))
		}
		if err != nil {
			_ = st.Delete(ctx, name)
			return fmt.Errorf("read the small object back: %w", err)
		}
	}
	if err := st.Delete(ctx, name); err != nil {
		return fmt.Errorf("delete the small object: %w", err)
	}
	return nil
}
