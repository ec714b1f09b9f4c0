package plan

import "testing"

func TestParseSerial(t *testing.T) {
	for _, tt := range []struct {
		text string
		want Serial
		ok   bool
	}{
		{"", Serial{}, true}, {"ttyS0", Serial{Port: 0x3f8}, true}, {"ttyS3,9600", Serial{Port: 0x2e8, Baud: 9600}, true}, {"0x3f8,115200n8", Serial{Port: 0x3f8, Baud: 115200}, true},
		{"ttyS4", Serial{}, false}, {"ttyAMA0", Serial{Name: "ttyAMA0"}, true}, {"ttyAMA0,115200", Serial{Name: "ttyAMA0"}, true}, {"ttyAMA0,9600", Serial{}, false}, {"ttyUSB0", Serial{}, false},
		{"pl011,0x9000000", Serial{Kind: "pl011", Addr: 0x9000000}, true}, {"mmio32,4096", Serial{Kind: "mmio32", Addr: 4096}, true}, {"pl011,0", Serial{}, false}, {"mmio", Serial{}, false}, {"0", Serial{}, false}, {"0x10000", Serial{}, false}, {"ttyS0,0", Serial{}, false},
		{"ttyS0,7", Serial{}, false}, {"ttyS0,9600n8x", Serial{}, false}, {"ttyS0,", Serial{}, false},
	} {
		got, err := ParseSerial(tt.text)
		if (err == nil) != tt.ok || got != tt.want {
			t.Errorf("ParseSerial(%q) = %+v, %v; want %+v, ok %t", tt.text, got, err, tt.want, tt.ok)
		}
	}
}
