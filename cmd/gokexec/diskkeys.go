package main

import (
	"bytes"
	"fmt"
	"os"
	"path"
	"slices"

	"github.com/gokexec/gokexec/pkg/advice"
	"github.com/gokexec/gokexec/pkg/capture"
	"github.com/gokexec/gokexec/pkg/check"
	"github.com/gokexec/gokexec/pkg/initramfs"
	"github.com/gokexec/gokexec/pkg/machine"
	"github.com/gokexec/gokexec/pkg/stack"
	"github.com/gokexec/gokexec/pkg/storage"
)

// Values of --disk-keys: how the capture kernel gets the keys of encrypted volumes.
const (
	diskKeysNo     = "no"
	diskKeysMemory = "memory" // in the initramfs that gokexec arm builds in memory, and so in the crash memory only
	diskKeysKernel = "kernel" // the kernel hands them over in crash memory, and gokexec has none
)

// takeKeys sees to the keys of the encrypted volumes that the targets lie on: it gives the files that the initramfs may have
// with them, or has the settings say where the capture kernel finds them.
func (o *initramfsOptions) takeKeys(e *env, targets []*storage.Resolved, settings *capture.Config) ([]initramfs.File, error) {
	switch o.diskKeys {
	case diskKeysNo, diskKeysMemory:
		return o.keyFiles(e, targets)
	case diskKeysKernel:
		return nil, o.handOverKeys(e, targets, settings)
	}
	return nil, usageError("--disk-keys %q; want %s, %s or %s", o.diskKeys, diskKeysNo, diskKeysKernel, diskKeysMemory)
}

// keyFiles are the keys for the initramfs, if it may have them.
func (o *initramfsOptions) keyFiles(e *env, targets []*storage.Resolved) ([]initramfs.File, error) {
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
			Hint: e.diskKeysAdvice(o.release) + "; or name a target that is not encrypted"}
	case !o.inMemory:
		return nil, &advice.Problem{What: what + ", whose key must not be written to a file",
			Hint: "gokexec arm builds the initramfs in memory; " + e.diskKeysAdvice(o.release)}
	}
	key, err := e.storage().Secret(k)
	if err != nil {
		return nil, targetProblem(fmt.Errorf("target %s: %w", t.Target, err), false)
	}
	return key, nil
}

// handOverKeys has the settings name the keys that the kernel is to hand over: the load does the rest.
func (o *initramfsOptions) handOverKeys(e *env, targets []*storage.Resolved, settings *capture.Config) error {
	for i, t := range targets {
		if len(t.Keys) == 0 {
			continue
		}
		f, err := e.handsOverDiskKeys(o.release)
		if err != nil {
			return err
		}
		if f.Level == advice.Failure {
			return f.Problem()
		}
		keys := make([]stack.CryptKey, len(t.Keys))
		for n, k := range t.Keys {
			if keys[n], err = e.storage().HandOver(k, o.handOver); err != nil {
				return targetProblem(fmt.Errorf("target %s: %w", t.Target, err), false)
			}
		}
		settings.Targets[i].Stack, err = t.Target.Stack.WithKeys(func(name string) stack.CryptKey {
			return keys[slices.IndexFunc(t.Keys, func(k storage.Key) bool { return k.Name == name })]
		})
		if err != nil {
			return fmt.Errorf("target %s: %w", t.Target, err)
		}
	}
	return nil
}

// handsOverDiskKeys tells whether this machine's kernel hands keys over to a capture kernel of that release.
func (e *env) handsOverDiskKeys(release string) (advice.Finding, error) {
	arch, err := machine.NativeArch()
	if err != nil {
		return advice.Finding{}, err
	}
	host, err := e.host("", arch)
	if err != nil {
		return advice.Finding{}, err
	}
	return check.HandsOverDiskKeys(os.DirFS(e.sysroot), host, release), nil
}

// diskKeysAdvice is which DiskKeys= fits this machine.
func (e *env) diskKeysAdvice(release string) string {
	if f, err := e.handsOverDiskKeys(release); err == nil && f.Level == advice.OK {
		return "[Capture] DiskKeys=kernel (--disk-keys kernel) has the kernel hand the key over in the crash memory"
	}
	return "[Capture] DiskKeys=memory lets gokexec arm put the key into the crash memory, which only root can read"
}
