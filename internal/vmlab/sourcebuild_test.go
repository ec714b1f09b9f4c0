package vmlab

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestCheckConfig(t *testing.T) {
	spec := builtSpecs["built-arm64"]
	asked, err := spec.config()
	if err != nil {
		t.Fatal(err)
	}
	whole := string(asked)
	tests := []struct{ name, config, wantErr string }{
		{"all there", whole, ""},
		{"one is off", strings.Replace(whole, "CONFIG_KEXEC_FILE=y", "# CONFIG_KEXEC_FILE is not set", 1), "CONFIG_KEXEC_FILE=y"},
		{"a longer name is another", strings.Replace(whole, "CONFIG_KEXEC=y", "CONFIG_NO_CONFIG_KEXEC=y", 1), "CONFIG_KEXEC=y"},
		{"another value", strings.Replace(whole, "CONFIG_NR_CPUS=4\n", "CONFIG_NR_CPUS=42\n", 1), "CONFIG_NR_CPUS=4"},
	}
	for _, tt := range tests {
		file := filepath.Join(t.TempDir(), ".config")
		if err := os.WriteFile(file, []byte(tt.config), 0o600); err != nil {
			t.Fatal(err)
		}
		err := checkConfig(file, asked)
		if (err == nil) != (tt.wantErr == "") || err != nil && !strings.HasPrefix(err.Error(), tt.wantErr+" ") {
			t.Errorf("checkConfig(%s) = %v; want %q", tt.name, err, tt.wantErr)
		}
	}
}
