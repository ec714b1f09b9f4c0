package fleet

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"time"

	"github.com/gokexec/gokexec/pkg/remote"
)

// ManifestName is the file that says what there is of a crash. It is never encrypted: it has nothing of the memory
// and of the log.
const ManifestName = "manifest.json"

// ManifestVersion is that of the format.
const ManifestVersion = 1

// State says where the memory of a crash is.
type State string

// The states.
const (
	Pending   State = "pending"   // it is going to be sent, or is being sent
	Stored    State = "stored"    // it is beside the manifest
	Duplicate State = "duplicate" // enough dumps of the fingerprint are stored
	None      State = "none"      // there is none: only the log was saved
)

// Manifest is the contents of manifest.json.
type Manifest struct {
	Version int       `json:"version"`
	CrashID string    `json:"crash_id"`
	Crash   time.Time `json:"crash_time"`
	// Fingerprint is that of the crash, if it is known; BuildID that of the kernel.
	Fingerprint string `json:"fingerprint,omitempty"`
	BuildID     string `json:"build_id,omitempty"`
	// Outcome is that of the capture: complete, incomplete, log-only, failed.
	Outcome string `json:"outcome"`
	// VMCore says where the memory is, and VMCoreBytes how large the dump is on the machine.
	VMCore      State `json:"vmcore"`
	VMCoreBytes int64 `json:"vmcore_bytes,omitempty"`
	// Encrypted: all other files are.
	Encrypted bool `json:"encrypted,omitempty"`
	// Files are what is stored beside it, whole.
	Files []remote.Stored `json:"files"`
	// Why says why the memory is not stored, or that the store can't tell whether other machines have sent enough.
	Why string `json:"why,omitempty"`
}

// Encode is the manifest as it is stored.
func (m Manifest) Encode() ([]byte, error) {
	m.Version = ManifestVersion
	if m.Files == nil {
		m.Files = []remote.Stored{}
	}
	b, err := json.MarshalIndent(m, "", "  ")
	return append(b, '\n'), err
}

// maxFingerprint bounds a fingerprint that becomes a part of names.
const maxFingerprint = 100

// fingerprintName is a fingerprint as a part of a name: itself, or a digest of one that has other characters.
func fingerprintName(fingerprint string) string {
	plain := len(fingerprint) <= maxFingerprint && fingerprint[0] != '.'
	for _, c := range fingerprint {
		if !(c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '-' || c == '_' || c == '.') {
			plain = false
		}
	}
	if plain {
		return fingerprint
	}
	sum := sha256.Sum256([]byte(fingerprint))
	return "sha256-" + hex.EncodeToString(sum[:])
}
