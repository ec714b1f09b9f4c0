package dumptest

import (
	"strings"
	"testing"

	"github.com/gokexec/gokexec/pkg/printk"
	"github.com/gokexec/gokexec/pkg/vmcore"
)

// LogText is the log of a dump as vmcore-dmesg prints it. It has to be undamaged.
func LogText(t testing.TB, d vmcore.Memory) string {
	t.Helper()
	log, err := printk.Read(d)
	if err != nil {
		t.Fatalf("printk.Read() = %v", err)
	}
	var b strings.Builder
	if st, err := printk.WriteText(&b, log); err != nil || st.Damaged != 0 {
		t.Fatalf("WriteText() = %+v, %v", st, err)
	}
	return b.String()
}
