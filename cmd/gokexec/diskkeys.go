package main

import (
	"bytes"
	"fmt"
	"path"
	"slices"

	"github.com/gokexec/gokexec/pkg/advice"
	"github.com/gokexec/gokexec/pkg/capture"
	"github.com/gokexec/gokexec/pkg/initramfs"
	"github.com/gokexec/gokexec/pkg/storage"
)

// Values of --disk-keys: whether the keys of encrypted volumes may go into the initramfs.
const (
	diskKeysNo     = "no"
	diskKeysMemory = "memory" // of one that gokexec arm builds in memory, and so into the crash memory only
)

// keyFiles are the keys of the encrypted volumes that the targets lie on, for the initramfs, if it may have them.
func (o *initramfsOptions) keyFiles(e *env, targets []*storage.Resolved) ([]initramfs.File, error) {
	switch o.diskKeys {
	case diskKeysNo, diskKeysMemory:
	default:
		return nil, usageError("--disk-keys %q; want %s or %s", o.diskKeys, diskKeysNo, diskKeysMemory)
	}
	var files []initramfs.File
	for _, t := range targets {
		for _, k := range t.Keys {
			name := path.Join(capture.KeyDir, k.Name)[1:]
			if slices.ContainsFunc(files, func(f initramfs.File) bool { return f.Path == name }) {
				continue // of another target on the same volume
			}
			key, err := o.diskKey(e, t, k)
			if err != nil {
				return nil, err
			}
			files = append(files, initramfs.File{Path: name, Mode: 0o400, Content: bytes.NewReader(key), Size: int64(len(key))})
		}
	}
	return files, nil
}

// diskKey is a key, if the initramfs may have it.
func (o *initramfsOptions) diskKey(e *env, t *storage.Resolved, k storage.Key) ([]byte, error) {
	what := fmt.Sprintf("target %s lies on the encrypted volume %s", t.Target, k.Map)
	switch {
	case o.diskKeys != diskKeysMemory:
		return nil, &advice.Problem{What: what + ", whose key the capture kernel would need",
			Hint: "[Capture] DiskKeys=memory lets gokexec arm put the key into the crash memory, which only root can read; or name a target that is not encrypted"}
	case !o.inMemory:
		return nil, &advice.Problem{What: what + ", whose key must not be written to a file",
			Hint: "gokexec arm builds the initramfs in memory"}
	}
	key, err := e.storage().Secret(k)
	if err != nil {
		return nil, targetProblem(fmt.Errorf("target %s: %w", t.Target, err), false)
	}
	return key, nil
}
