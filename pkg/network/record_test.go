package network

import (
	"encoding/json"
	"errors"
	"net/netip"
	"slices"
	"testing"
	"time"
)

func TestValidate(t *testing.T) {
	good := func() *Record {
		return record(nicLink(2, "eth0"), nicLink(3, "eth1"),
			Link{Name: "bond0", Bond: &Bond{Of: []int{0, 1}, Mode: "active-backup", MIIMon: 100, FailOverMAC: "none"}},
			withAddress(Link{Name: "bond0.5", VLAN: &VLAN{Of: 2, ID: 5, Protocol: "802.1ad"}}))
	}
	if err := good().Validate(); err != nil {
		t.Fatal(err)
	}
	for name, spoil := range map[string]func(*Record){
		"version":          func(r *Record) { r.Version = 2 },
		"no link":          func(r *Record) { r.Links = nil },
		"no host":          func(r *Record) { r.Hosts = nil },
		"no address":       func(r *Record) { r.Hosts[0].Addresses = nil },
		"bad address":      func(r *Record) { r.Hosts[0].Addresses[0] = netip.Addr{} },
		"two kinds":        func(r *Record) { r.Links[2].VLAN = &VLAN{Of: 0, ID: 1, Protocol: "802.1Q"} },
		"no kind":          func(r *Record) { r.Links[0].NIC = nil },
		"later link":       func(r *Record) { r.Links[3].VLAN.Of = 3 },
		"negative link":    func(r *Record) { r.Links[3].VLAN.Of = -1 },
		"port twice":       func(r *Record) { r.Links[2].Bond.Of = []int{0, 0} },
		"port used":        func(r *Record) { r.Links[3].VLAN.Of = 1 },
		"VLAN 0":           func(r *Record) { r.Links[3].VLAN.ID = 0 },
		"VLAN 4095":        func(r *Record) { r.Links[3].VLAN.ID = 4095 },
		"protocol":         func(r *Record) { r.Links[3].VLAN.Protocol = "" },
		"mode":             func(r *Record) { r.Links[2].Bond.Mode = "802.3ae" },
		"miimon":           func(r *Record) { r.Links[2].Bond.MIIMon = 0 },
		"name":             func(r *Record) { r.Links[0].Name = "a/b" },
		"long name":        func(r *Record) { r.Links[0].Name = "aaaaaaaaaaaaaaaa" },
		"MAC of many":      func(r *Record) { r.Links[0].MAC = "01:00:00:00:00:01" },
		"MAC, spelling":    func(r *Record) { r.Links[0].NIC.MAC = "52-54-00-00-00-02" },
		"MTU":              func(r *Record) { r.Links[0].MTU = -1 },
		"unnamed hardware": func(r *Record) { r.Links[0].NIC = &NIC{} },
		"route":            func(r *Record) { r.Links[3].Routes = []Route{{To: netip.MustParsePrefix("10.0.0.1/8")}} },
		"gateway": func(r *Record) {
			r.Links[3].Routes = []Route{{To: netip.MustParsePrefix("10.0.0.0/8"), Via: netip.MustParseAddr("fe80::1")}}
		},
		"name server": func(r *Record) { r.Nameservers = []netip.Addr{netip.MustParseAddr("127.0.0.53")} },
		"domain":      func(r *Record) { r.Search = []string{"a b"} },
	} {
		r := good()
		spoil(r)
		if err := r.Validate(); !errors.Is(err, ErrFormat) {
			t.Errorf("%s: %v; want %v", name, err, ErrFormat)
		}
	}
}

// A record that is valid can be brought up, or fails in time, whatever is in it; and it says the same as JSON.
func FuzzRecord(f *testing.F) {
	b, err := json.Marshal(record(withAddress(nicLink(2, "eth0"))))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Add([]byte(`{"version":1,"hosts":[{"name":"a","addresses":["::1"]}],"links":[{"name":"a","nic":{"path":"x"}},{"name":"b","bond":{"of":[0],"mode":"802.3ad","miimon":1}},{"name":"c","vlan":{"of":1,"id":1,"protocol":"802.1Q"},"ra":true}]}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		var r Record
		if json.Unmarshal(b, &r) != nil || r.Validate() != nil {
			return
		}
		again, err := json.Marshal(&r)
		var back Record
		if err == nil {
			err = json.Unmarshal(again, &back)
		}
		if err != nil || back.Validate() != nil || back.Digest() != r.Digest() {
			t.Fatalf("%s read back: %v, %v", again, err, back.Validate())
		}
		k := &fakeKernel{links: []Interface{ether(2, "eth0"), ether(3, "eth1")}}
		begin := time.Now()
		_ = (&Bringer{Kernel: k, Root: sysNet("eth0", "eth1"), Timeout: time.Millisecond}).Up(t.Context(), &r, func() {})
		if took := time.Since(begin); took > 5*time.Second {
			t.Errorf("it took %v", took)
		}
	})
}

func FuzzResolvConf(f *testing.F) {
	f.Add("nameserver 1.2.3.4\nsearch a b\n")
	f.Add("nameserver fe80::1%eth0\n domain x")
	f.Fuzz(func(t *testing.T, text string) {
		servers, search := parseResolv(text)
		r := record(nicLink(2, "eth0"))
		r.Search = search
		r.Nameservers = slices.DeleteFunc(servers, func(a netip.Addr) bool { return a.IsLoopback() })
		if len(r.Nameservers) > maxPer {
			return
		}
		if err := r.Validate(); err != nil {
			t.Errorf("%q: %v", text, err)
		}
	})
}
