package vmcore

import "fmt"

// MissingError is a symbol, size or offset that VMCOREINFO doesn't have.
type MissingError struct {
	Kind string // "SYMBOL", "SIZE", "OFFSET"
	Name string // "log_buf", "printk_log.len"
}

func (e *MissingError) Error() string { return fmt.Sprintf("VMCOREINFO has no %s(%s)", e.Kind, e.Name) }

// maxStruct bounds the sizes of the structures that a Layout has, in bytes.
const maxStruct = 4096

// Layout collects symbols, sizes and offsets from VMCOREINFO and remembers in Err the first that
// is missing or impossible.
type Layout struct {
	Info *VMCoreInfo
	Err  error // a *MissingError, or says which value is impossible
}

// Offset returns the offset in bytes of "structure.member".
func (l *Layout) Offset(name string) uint64 { return l.need("OFFSET", name, l.Info.Offset) }

// Size returns the size in bytes of a structure or type.
func (l *Layout) Size(name string) uint64 { return l.need("SIZE", name, l.Info.Size) }

func (l *Layout) need(kind, name string, get func(string) (uint64, bool)) uint64 {
	n, ok := get(name)
	if l.Err == nil && !ok {
		l.Err = &MissingError{Kind: kind, Name: name}
	}
	if l.Err == nil && n > maxStruct {
		l.Err = fmt.Errorf("VMCOREINFO: %s(%s) is %d, more than %d", kind, name, n, maxStruct)
	}
	return n
}

// Symbol returns the virtual address of a kernel symbol.
func (l *Layout) Symbol(name string) uint64 {
	n, ok := l.Info.Symbol(name)
	if l.Err == nil && !ok {
		l.Err = &MissingError{Kind: "SYMBOL", Name: name}
	}
	return n
}

// Fits records an error when a member of n bytes at off is not inside its structure of size bytes.
func (l *Layout) Fits(what string, off, n, size uint64) {
	if l.Err == nil && (off > size || n > size-off) {
		l.Err = fmt.Errorf("VMCOREINFO: %s at %d, %d bytes, is outside its structure of %d bytes", what, off, n, size)
	}
}
