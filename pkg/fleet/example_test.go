package fleet_test

import (
	"fmt"
	"time"

	"github.com/gokexec/gokexec/pkg/fleet"
	"github.com/gokexec/gokexec/pkg/remote"
)

func ExampleManifest() {
	crash := time.Date(2026, 11, 30, 3, 14, 15, 0, time.UTC)
	id := fleet.CrashID("a568dab386a046339be1ce92cbe36c97", crash, 0)
	m := fleet.Manifest{CrashID: id, Crash: crash, Outcome: "complete", VMCore: fleet.Stored, VMCoreBytes: 1000,
		Files: []remote.Stored{{Name: "vmcore", Bytes: 1000, SHA256: "9f86d081", Confirmed: true}}}
	b, err := m.Encode()
	fmt.Println(fleet.Object(id, fleet.ManifestName), err)
	fmt.Printf("%s", b)
	// Output:
	// crashes/a568dab386a046339be1ce92cbe36c97-20261130T031415Z/manifest.json <nil>
	// {
	//   "version": 1,
	//   "crash_id": "a568dab386a046339be1ce92cbe36c97-20261130T031415Z",
	//   "crash_time": "2026-11-30T03:14:15Z",
	//   "outcome": "complete",
	//   "vmcore": "stored",
	//   "vmcore_bytes": 1000,
	//   "files": [
	//     {
	//       "name": "vmcore",
	//       "bytes": 1000,
	//       "sha256": "9f86d081",
	//       "confirmed": true
	//     }
	//   ]
	// }
}
