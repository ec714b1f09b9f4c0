package stack

import "testing"

// A digest knows neither names nor order, and all else.
func TestDigest(t *testing.T) {
	disk := func(name, ref string) Layer { return Layer{Name: name, Size: 1 << 20, Disk: &Disk{Ref: ref}} }
	linear := func(name, args string) Layer {
		return Layer{Name: name, Size: 1 << 19, Map: &Map{Name: "v", Table: []Row{{0, 1024, "linear", args}}}}
	}
	make := func(tops []Top, layers ...Layer) *Stack {
		s := &Stack{Version: Version, Layers: layers, Tops: tops}
		if err := s.Validate(); err != nil {
			t.Fatal(err)
		}
		return s
	}
	top := []Top{{Layer: 2}}
	want := make(top, disk("sda", "WWID=a"), disk("sdb", "WWID=b"), linear("dm-0", "@0 2048")).Digest()
	for _, same := range []*Stack{
		make(top, disk("sdx", "WWID=a"), disk("sdb", "WWID=b"), linear("dm-7", "@0 2048")),
		make(top, disk("sdb", "WWID=b"), disk("sda", "WWID=a"), linear("dm-0", "@1 2048")),
		make([]Top{{Layer: 1}}, disk("sda", "WWID=a"), linear("dm-0", "@0 2048"), disk("sdb", "WWID=b")),
	} {
		if same.Digest() != want {
			t.Errorf("the digest of %+v differs", same)
		}
	}
	for _, other := range []*Stack{
		make(top, disk("sda", "WWID=a"), disk("sdb", "WWID=b"), linear("dm-0", "@1 2048")),
		make(top, disk("sda", "WWID=a"), disk("sdb", "WWID=b"), linear("dm-0", "@0 4096")),
		make(top, disk("sda", "WWID=a"), disk("sdb", "WWID=c"), linear("dm-0", "@0 2048")),
		make([]Top{{Layer: 1}}, disk("sda", "WWID=a"), linear("dm-0", "@0 2048")),
		make([]Top{{Layer: 0}}, disk("sda", "WWID=a"), disk("sdb", "WWID=b"), linear("dm-0", "@0 2048")),
	} {
		if other.Digest() == want {
			t.Errorf("the digest of %+v is the same", other)
		}
	}
}
