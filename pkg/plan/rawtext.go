package plan

import (
	"encoding/json"
	"unicode/utf8"
)

// rawText is a string of any bytes, as paths and command lines are. encoding/json
// would replace what is no UTF-8.
type rawText string

// MarshalJSON gives a string, or an object with the bytes in base64.
func (s rawText) MarshalJSON() ([]byte, error) {
	if utf8.ValidString(string(s)) {
		return json.Marshal(string(s))
	}
	return json.Marshal(rawBytes{[]byte(s)})
}

type rawBytes struct {
	Base64 []byte `json:"base64"`
}

// UnmarshalJSON reads what MarshalJSON gives.
func (s *rawText) UnmarshalJSON(b []byte) error {
	var text string
	err := json.Unmarshal(b, &text)
	if err == nil {
		*s = rawText(text)
		return nil
	}
	var raw rawBytes
	if json.Unmarshal(b, &raw) != nil {
		return err
	}
	*s = rawText(raw.Base64)
	return nil
}

// specJSON is Spec with its texts as rawText.
type specJSON struct {
	*plainSpec
	Cmdline rawText `json:"cmdline"`
	Append  rawText `json:"append,omitempty"`
}

// plainSpec has no methods.
type plainSpec Spec

// MarshalJSON gives all of it but the Seed.
func (s *Spec) MarshalJSON() ([]byte, error) {
	return json.Marshal(specJSON{(*plainSpec)(s), rawText(s.Cmdline), rawText(s.Append)})
}

// UnmarshalJSON reads what MarshalJSON gives. The files are not open.
func (s *Spec) UnmarshalJSON(b []byte) error {
	v := specJSON{plainSpec: (*plainSpec)(s)}
	if err := json.Unmarshal(b, &v); err != nil {
		return err
	}
	s.Cmdline, s.Append = string(v.Cmdline), string(v.Append)
	return nil
}
