package main

import (
	"strings"
	"testing"

	"github.com/spf13/pflag"

	"github.com/gokexec/gokexec/pkg/capture"
)

func parseLimits(t *testing.T, args ...string) *limitOptions {
	t.Helper()
	var o limitOptions
	flags := pflag.NewFlagSet("", pflag.ContinueOnError)
	o.register(flags)
	if err := flags.Parse(args); err != nil {
		t.Fatal(err)
	}
	return &o
}

// The options of capture and initramfs end in the configuration; without them it has the
// defaults of the day, not those of today.
func TestLimitOptions(t *testing.T) {
	targets := []string{"dir:/x"}
	cfg, err := captureConfig("", targets, false, parseLimits(t))
	if err != nil || cfg.KeepFree != "" || cfg.KeepDumpDays != nil {
		t.Errorf("no options: %+v, %v", cfg, err)
	}
	cfg, err = captureConfig("", targets, false, parseLimits(t, "--keep-free", "10%", "--keep-dump", "0"))
	if err != nil || cfg.KeepFree != "10%" || cfg.KeepDumpDays == nil || *cfg.KeepDumpDays != 0 {
		t.Errorf("--keep-free 10%% --keep-dump 0: %+v, %v", cfg, err)
	}
	for _, bad := range [][]string{{"--keep-free", "1GB"}, {"--keep-dump", "-1"}} {
		if cfg, err := captureConfig("", targets, false, parseLimits(t, bad...)); err == nil || !strings.Contains(err.Error(), bad[1]) {
			t.Errorf("%q: %+v, %v; want an error that names the value", bad, cfg, err)
		}
	}
	cfg, err = captureConfig("", targets, false, parseLimits(t, "--dump-level", "1,31", "--format", "kdump", "--compress", "zlib"))
	if err != nil || cfg.DumpLevel != "1,31" || cfg.Format != capture.FormatKdump || cfg.Compress != "zlib" {
		t.Errorf("--dump-level, --format, --compress: %+v, %v", cfg, err)
	}
	for _, bad := range [][]string{{"--dump-level", "32"}, {"--dump-level", "1,"}, {"--format", "qcow"}, {"--compress", "lz4"}, {"--format", "elf", "--compress", "zstd"}} {
		if cfg, err := captureConfig("", targets, false, parseLimits(t, bad...)); err == nil || !strings.Contains(err.Error(), strings.TrimSuffix(bad[len(bad)-1], ",")) {
			t.Errorf("%q: %+v, %v; want an error that names the value", bad, cfg, err)
		}
	}
	if _, err := captureConfig("/etc/x.json", nil, false, parseLimits(t, "--dump-level", "1")); err == nil || !strings.Contains(err.Error(), "--dump-level") {
		t.Errorf("--config and --dump-level: %v", err)
	}
	if _, err := captureConfig("/etc/x.json", nil, false, parseLimits(t, "--keep-free", "1G")); err == nil || !strings.Contains(err.Error(), "--keep-free") {
		t.Errorf("--config and --keep-free: %v", err)
	}
	o := initramfsOptions{final: string(capture.Reboot), failure: string(capture.Reboot), limits: *parseLimits(t, "--keep-free", "2G", "--keep-dump", "30")}
	if cfg, err := o.settings([]string{"raw:/dev/sdb"}); err != nil || cfg.KeepFree != "2G" || *cfg.KeepDumpDays != 30 {
		t.Errorf("initramfs: %+v, %v", cfg, err)
	}
}
