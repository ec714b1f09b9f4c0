package capture

import (
	"os"
	"reflect"
	"strings"
	"testing"
	"time"
)

// Each key of the files that outlive a version is in docs/formats.md.
func TestFormatsAreDocumented(t *testing.T) {
	b, err := os.ReadFile("../../docs/formats.md")
	if err != nil {
		t.Fatal(err)
	}
	keys := map[string]bool{}
	collectKeys(reflect.TypeFor[Config](), keys)
	collectKeys(reflect.TypeFor[Result](), keys)
	if !keys["keep_free"] || !keys["fstype"] || !keys["peak_rss_bytes"] {
		t.Fatalf("keys %v; want those of the nested structures too", keys)
	}
	for _, f := range Formats() {
		keys[string(f)] = true
	}
	for key := range keys {
		if !strings.Contains(string(b), "`"+key+"`") {
			t.Errorf("docs/formats.md does not name %s", key)
		}
	}
}

func collectKeys(v reflect.Type, keys map[string]bool) {
	for v.Kind() == reflect.Pointer || v.Kind() == reflect.Slice {
		v = v.Elem()
	}
	if v.Kind() != reflect.Struct || v == reflect.TypeFor[time.Time]() {
		return
	}
	for i := range v.NumField() {
		if key, _, _ := strings.Cut(v.Field(i).Tag.Get("json"), ","); key != "" && key != "-" {
			keys[key] = true
		}
		collectKeys(v.Field(i).Type, keys)
	}
}
