package remote_test

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"

	"github.com/gokexec/gokexec/pkg/remote"
)

// One process reads the memory, another one stores it: pipes join them.
func Example() {
	in, toStore := io.Pipe()
	answers, out := io.Pipe()
	go func() {
		defer out.Close()
		receiver := remote.NewReceiver(in, out)
		_ = receiver.Serve(func(o remote.Object, r io.Reader) (remote.Stored, error) {
			sum := sha256.New()
			n, err := io.Copy(sum, r)
			return remote.Stored{Name: o.Name, Bytes: n, SHA256: hex.EncodeToString(sum.Sum(nil))[:8]}, err
		}, func(error) string { return "" })
	}()

	sender := remote.NewSender(toStore, answers)
	if err := sender.Ready(); err != nil {
		fmt.Println(err)
	}
	vmcore, err := sender.Create(remote.Object{Name: "vmcore", Estimate: 1 << 20})
	if err != nil {
		fmt.Println(err)
	}
	fmt.Fprint(vmcore, "KDUMP   ")
	fmt.Println(vmcore.Commit())

	broken, _ := sender.Create(remote.Object{Name: "vmcore.2"})
	fmt.Fprint(broken, "KDU")
	_, err = broken.Abandon(errors.New("the filter failed"))
	fmt.Println(err)
	toStore.Close()
	// Output:
	// {vmcore 8 0306fda7 false 0 0} <nil>
	// vmcore.2: the sender broke off: the filter failed
}
