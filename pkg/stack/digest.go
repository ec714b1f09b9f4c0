package stack

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"slices"
	"strings"
)

// Digest tells two descriptions apart that a capture would follow differently: it knows neither the kernel's names, which
// change from boot to boot, nor the order of the layers. The description is valid.
func (s *Stack) Digest() string {
	ids := make([]string, len(s.Layers))
	for i, l := range s.Layers {
		described, used := l.described(ids)
		ids[i] = digest(described, used)
	}
	tops := make([]Top, len(s.Tops))
	var used []string
	for i, t := range s.Tops {
		used = append(used, ids[t.Layer])
		tops[i].Option = t.Option
	}
	slices.Sort(ids)
	return digest(ids, used, tops)
}

// described is a layer without its name, and what it is made of.
func (l Layer) described(ids []string) (Layer, []string) {
	l.Name = ""
	var used []string
	for _, n := range l.Uses() {
		used = append(used, ids[n])
	}
	switch {
	case l.Part != nil:
		l.Part = &Part{Number: l.Part.Number}
	case l.Array != nil:
		a := *l.Array
		a.Members = nil
		slices.Sort(used)
		l.Array = &a
	case l.Map != nil:
		m := *l.Map
		m.Table = slices.Clone(m.Table)
		for i, row := range m.Table {
			words := strings.Split(row.Args, " ")
			for j, word := range words {
				if n, ok := Referenced(word); ok {
					words[j] = "@" + ids[n]
				}
			}
			m.Table[i].Args = strings.Join(words, " ")
		}
		l.Map = &m
	}
	return l, used
}

func digest(parts ...any) string {
	text, err := json.Marshal(parts)
	if err != nil {
		panic(err) // strings and numbers only
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:])
}
