package capture_test

import (
	"archive/tar"
	"bytes"
	"fmt"
	"io"
	"log"
	"strings"

	"github.com/gokexec/gokexec/pkg/capture"
)

// A configuration as it is put into the capture initramfs.
func ExampleParseConfig() {
	cfg, err := capture.ParseConfig(strings.NewReader(`{
		"targets": [
			{"type": "filesystem", "device": "LABEL=crash", "path": "/dumps"},
			{"type": "raw", "device": "/dev/nvme0n1p3"}
		],
		"failure_action": "poweroff"
	}`))
	if err != nil {
		log.Fatal(err)
	}
	for _, t := range cfg.Targets {
		fmt.Println(t)
	}
	fmt.Println(cfg.FinalAction, cfg.FailureAction)

	_, err = capture.ParseConfig(strings.NewReader(`{"target": "/dev/sda"}`))
	fmt.Println(err)
	// Output:
	// fs:LABEL=crash:/dumps
	// raw:/dev/nvme0n1p3
	// reboot poweroff
	// bad capture configuration: json: unknown field "target"
}

// A dump on a raw device is read in place; here the device is a tar file.
func ExampleFindInTar() {
	var device bytes.Buffer
	w := tar.NewWriter(&device)
	for _, e := range []struct{ name, data string }{{"dmesg.txt", "panic"}, {"vmcore", "\x7fELF..."}} {
		if err := w.WriteHeader(&tar.Header{Name: e.name, Size: int64(len(e.data)), Mode: 0o600}); err != nil {
			log.Fatal(err)
		}
		if _, err := io.WriteString(w, e.data); err != nil {
			log.Fatal(err)
		}
	}
	r := bytes.NewReader(device.Bytes())
	dump, err := capture.FindInTar(r, r.Size())
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%s: %d bytes at offset %d\n", dump.Name, dump.Size(), dump.Offset)
	// Output: vmcore: 7 bytes at offset 1536
}
