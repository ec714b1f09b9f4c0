package network_test

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/gokexec/gokexec/pkg/network"
)

// A host keeps the addresses that it had when it was recorded: a capture kernel needs no name server.
func ExampleDialer_Addresses() {
	var record network.Record
	err := json.Unmarshal([]byte(`{
	  "version": 1,
	  "hosts": [{"name": "dumps.example.com", "addresses": ["192.0.2.10"]}],
	  "links": [{"name": "eth0", "nic": {"mac": "52:54:00:12:34:56", "path": "pci0000:00/0000:00:03.0"}, "dhcp": true}]
	}`), &record)
	if err != nil {
		fmt.Println(err)
	}
	fmt.Println(record.Validate())
	dialer := &network.Dialer{Record: &record}
	fmt.Println(dialer.Addresses(context.Background(), "dumps.example.com"))
	// Output:
	// <nil>
	// [192.0.2.10] <nil>
}
