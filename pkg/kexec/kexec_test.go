package kexec

import "testing"

func TestFlagStrings(t *testing.T) {
	tests := []struct{ got, want string }{
		{LoadFlags(0).String(), "none"},
		{(LoadOnCrash | LoadUpdateElfcorehdr).String(), "ON_CRASH|UPDATE_ELFCOREHDR"},
		{(FileUnload | FileOnCrash | FileNoInitramfs).String(), "UNLOAD|ON_CRASH|NO_INITRAMFS"},
		{(FileForceDTB | 0x100).String(), "FORCE_DTB|0x100"},
	}
	for _, tt := range tests {
		if tt.got != tt.want {
			t.Errorf("String() = %q; want %q", tt.got, tt.want)
		}
	}
}
