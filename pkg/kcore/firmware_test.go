package kcore

import (
	"encoding/binary"
	"reflect"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/gokexec/gokexec/pkg/memmap"
)

func cells(v ...uint32) *fstest.MapFile {
	f := &fstest.MapFile{}
	for _, c := range v {
		f.Data = binary.BigEndian.AppendUint32(f.Data, c)
	}
	return f
}

func TestReadFirmware(t *testing.T) {
	const dir = reservedMemoryDir + "/"
	tests := []struct {
		name    string
		files   fstest.MapFS
		want    []memmap.Range
		wantErr string
	}{
		{name: "no device tree", files: fstest.MapFS{}},
		{name: "two nodes, and another's memory", files: fstest.MapFS{
			dir + "#address-cells": cells(2), dir + "#size-cells": cells(2),
			dir + "mmode_resv0@80000000/reg": cells(0, 0x80000000, 0, 0x80000),
			dir + "mmode_resv1@80080000/reg": cells(0, 0x80080000, 0, 0x40000),
			dir + "linux,cma/reg":            cells(0, 0x90000000, 0, 0x40000),
		}, want: []memmap.Range{{Start: 0x80000000, End: 0x80080000}, {Start: 0x80080000, End: 0x800c0000}}},
		{name: "one word each", files: fstest.MapFS{
			dir + "#address-cells": cells(1), dir + "#size-cells": cells(1), dir + "mmode_resv0/reg": cells(0x1000, 0x2000),
		}, want: []memmap.Range{{Start: 0x1000, End: 0x3000}}},
		{name: "three words", files: fstest.MapFS{
			dir + "#address-cells": cells(3), dir + "#size-cells": cells(1), dir + "mmode_resv0/reg": cells(0, 0, 1, 2),
		}, wantErr: "#address-cells"},
		{name: "no words", files: fstest.MapFS{dir + "mmode_resv0/reg": cells(0x1000, 0x2000)}, wantErr: "#address-cells"},
		{name: "short", files: fstest.MapFS{
			dir + "#address-cells": cells(2), dir + "#size-cells": cells(2), dir + "mmode_resv0/reg": cells(1, 2),
		}, wantErr: "8 bytes"},
		{name: "beyond the end", files: fstest.MapFS{
			dir + "#address-cells": cells(2), dir + "#size-cells": cells(2), dir + "mmode_resv0/reg": cells(^uint32(0), 0, 1, 0),
		}, wantErr: "64 bits"},
	}
	for _, tt := range tests {
		got, err := readFirmware(tt.files)
		if (err == nil) != (tt.wantErr == "") || err != nil && !strings.Contains(err.Error(), tt.wantErr) || !reflect.DeepEqual(got, tt.want) {
			t.Errorf("%s: readFirmware = %v, %v; want %v, %q", tt.name, got, err, tt.want, tt.wantErr)
		}
	}
}
