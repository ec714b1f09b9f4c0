package plan

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
)

// ErrBuilt is wrapped when a Source of a record is opened that was built in memory: it must be built again.
var ErrBuilt = errors.New("it was built in memory, and no file has it")

// Source names a kernel, an initrd or a device tree: a file, or bytes in memory.
type Source struct {
	Path string // as the user named it; what messages call bytes in memory
	ID   FileID // of the file that Open opened; before that, and of bytes in memory, without a Path
	Data []byte // bytes in memory; nil: the file
	// Built is the SHA-256, in hexadecimal, of Data that was built for a load; "" for everything else.
	// A record has it, but not the bytes.
	Built string
}

// FromFile names a file, which Open opens.
func FromFile(path string) *Source { return &Source{Path: path} }

// FromBytes is a Source that lives in memory; name stands in messages.
func FromBytes(name string, data []byte) *Source {
	if data == nil {
		data = []byte{}
	}
	return &Source{Path: name, Data: data}
}

// FromBuilt is a Source that was built in memory, from what Spec.Recipe tells.
func FromBuilt(name string, data []byte) *Source {
	s := FromBytes(name, data)
	sum := sha256.Sum256(data)
	s.Built = hex.EncodeToString(sum[:])
	return s
}

// SourceOf is the Source of a file that was opened for an earlier load.
func SourceOf(id FileID) *Source { return &Source{Path: id.Path, ID: id} }

// Same tells whether s was the same file with the same content as now. What is built again is the same
// by its recipe.
func (s *Source) Same(now *Source) bool {
	return s.Built != "" && now.Built != "" || s.ID.same(now.ID)
}

// MarshalJSON gives the file's identity. Bytes in memory have a name only.
func (s *Source) MarshalJSON() ([]byte, error) {
	id := s.ID
	switch {
	case id.Path != "":
	case s.Built != "":
		id = FileID{Path: s.Path, Size: int64(len(s.Data))}
	default:
		id = FileID{Path: absolute(s.Path), Size: int64(len(s.Data))}
	}
	return json.Marshal(idJSON{plainID(id), rawText(id.Path), s.Built})
}

// idJSON is FileID with any path.
type idJSON struct {
	plainID
	Path  rawText `json:"path"`
	Built string  `json:"built_sha256,omitempty"`
}

type plainID FileID

// UnmarshalJSON reads what MarshalJSON gives. Such a Source can't be read before it
// is opened again.
func (s *Source) UnmarshalJSON(b []byte) error {
	var v idJSON
	if err := json.Unmarshal(b, &v); err != nil {
		return err
	}
	id := FileID(v.plainID)
	id.Path = string(v.Path)
	*s = *SourceOf(id)
	s.Built = v.Built
	return nil
}
