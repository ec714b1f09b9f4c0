package rtnetlink_test

import (
	"fmt"
	"net/netip"

	"github.com/gokexec/gokexec/internal/rtnetlink"
)

// The way to an address of this machine does not leave it.
func ExampleKernel_Route() {
	hop, err := rtnetlink.Kernel{}.Route(netip.MustParseAddr("127.0.0.1"))
	fmt.Println(hop.Local, err)
	// Output: true <nil>
}
