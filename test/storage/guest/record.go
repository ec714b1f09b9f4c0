package main

import (
	"context"
	"encoding/json"
	"errors"
	"os"

	"github.com/gokexec/gokexec/pkg/capture"
	"github.com/gokexec/gokexec/pkg/storage"
)

// Record is what gokexec arm would put into the initramfs for a target, or why that can't be.
type Record struct {
	Config  *capture.Config
	Keys    map[string][]byte
	Refused string
}

func record(dir string) error {
	r, err := recordOf(dir)
	var refusal *storage.Refusal
	if errors.As(err, &refusal) {
		r, err = &Record{Refused: refusal.What + "; " + refusal.Instead}, nil
	}
	if err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(r)
}

func recordOf(dir string) (*Record, error) {
	machine := storage.NewMachine("/")
	found, err := machine.Resolve(context.Background(), capture.Target{Type: capture.TargetDirectory, Path: dir})
	if err != nil {
		return nil, err
	}
	r := &Record{Config: &capture.Config{Targets: []capture.Target{found.Target}}, Keys: map[string][]byte{}}
	for _, k := range found.Keys {
		if r.Keys[k.Name], err = machine.Secret(k); err != nil {
			return nil, err
		}
	}
	return r, nil
}
