package plan

import "github.com/gokexec/gokexec/pkg/machine"

// setupType is the type of a struct setup_data (arch/x86/include/uapi/asm/
// setup_data.h).
type setupType uint32

const (
	setupE820Ext setupType = 1
	setupEFI     setupType = 4
	setupRNGSeed setupType = 9
)

const (
	setupDataHead = 16 // next, type, len
	e820EntrySize = 20
	efiDescSize   = 40 // efi_memory_desc_t
	efiSetupSize  = 96 // struct efi_setup_data
)

// setupNode is a struct setup_data before it has an address.
type setupNode struct {
	kind setupType
	data []byte
}

// appendE820 appends struct boot_e820_entry.
func appendE820(b []byte, entries []E820Entry) []byte {
	for _, e := range entries {
		b = le.AppendUint64(b, uint64(e.Start))
		b = le.AppendUint64(b, e.Size())
		b = le.AppendUint32(b, uint32(e.Type))
	}
	return b
}

// setup is a struct efi_setup_data (arch/x86/include/asm/efi.h).
func efiSetup(e *machine.EFI) []byte {
	b := make([]byte, efiSetupSize)
	le.PutUint64(b, e.FwVendor)
	le.PutUint64(b[16:], e.ConfigTable)
	le.PutUint64(b[24:], e.SMBIOS)
	return b
}

// memmap is the runtime map as an array of efi_memory_desc_t, each of size
// bytes: firmware may have them longer than they need to be.
func efiMemmap(e *machine.EFI, size int) []byte {
	b := make([]byte, size*len(e.Runtime))
	for i, m := range e.Runtime {
		d := b[i*size:]
		le.PutUint32(d, m.Type)
		le.PutUint64(d[8:], uint64(m.Phys))
		le.PutUint64(d[16:], m.Virt)
		le.PutUint64(d[24:], m.Pages)
		le.PutUint64(d[32:], m.Attribute)
	}
	return b
}
