package fleet

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"strings"
	"time"

	"github.com/gokexec/gokexec/pkg/advice"
	"github.com/gokexec/gokexec/pkg/remote"
)

// application is that of gokexec, for MachineID: a random number, made once.
const application = "5d3a9c0e6f1b47e2a8c4d19b7702f6ae"

// MachineID is the identity of a machine among those of a fleet. It is derived from /etc/machine-id, which must not
// leave the machine (machine-id(5)), as sd_id128_get_machine_app_specific(3) does:
//
//	systemd-id128 machine-id --app-specific=5d3a9c0e6f1b47e2a8c4d19b7702f6ae
//
// prints it. Hosts with equal machine IDs, clones of an image, have equal ones here.
func MachineID(root fs.FS) (string, error) {
	b, err := fs.ReadFile(root, "etc/machine-id")
	if err != nil {
		return "", &advice.Problem{What: fmt.Sprintf("the identity of this machine, by which its crashes are called: %v", err), Hint: "systemd-machine-id-setup, or dbus-uuidgen --ensure=/etc/machine-id, makes one", Err: err}
	}
	return deriveID(strings.TrimSpace(string(b)))
}

// deriveID is HMAC-SHA256 with the machine ID as its key, of the application, cut to 16 bytes and marked as a UUID of
// version 4 (systemd: src/libsystemd/sd-id128/sd-id128.c, sd_id128_get_app_specific).
func deriveID(machine string) (string, error) {
	key, err := hex.DecodeString(machine)
	if err != nil || len(key) != 16 {
		return "", fmt.Errorf("/etc/machine-id is %q; want 32 hexadecimal digits", machine)
	}
	app, err := hex.DecodeString(application)
	if err != nil {
		return "", err
	}
	mac := hmac.New(sha256.New, key)
	mac.Write(app)
	id := mac.Sum(nil)[:16]
	id[6] = id[6]&0x0f | 0x40
	id[8] = id[8]&0x3f | 0x80
	return hex.EncodeToString(id), nil
}

// CrashID is the name of a crash: the same whoever makes it, and whenever. number tells several dumps of one second
// apart; 0 is the first.
func CrashID(machine string, crash time.Time, number int) string {
	id := (&remote.Crash{Machine: machine, Time: crash}).ID()
	if number > 0 {
		id = fmt.Sprintf("%s-%d", id, number)
	}
	return id
}

// Object is the name of a file of a crash.
func Object(crashID, file string) string { return "crashes/" + crashID + "/" + file }
