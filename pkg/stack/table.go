package stack

import (
	"fmt"
	"slices"
	"strings"
	"unicode"
)

// table is that of a map, as it is made here: numbers for layers, without what is missing.
func (r *assembly) table(m *Map) ([]Row, error) {
	table := slices.Clone(m.Table)
	for n, row := range table {
		row, err := r.row(row)
		if err != nil {
			return nil, fmt.Errorf("table[%d] (%s): %w", n, row.Type, err)
		}
		row.Args = r.substitute(row.Args)
		table[n] = row
	}
	return table, nil
}

// row is one without what is missing, and such that nothing waits for ever.
func (r *assembly) row(row Row) (Row, error) {
	switch row.Type {
	case "multipath":
		return withoutPaths(row, func(device string) bool { return !r.present(device) })
	case "raid":
		if err := r.judgeLegs(row); err != nil {
			return row, err
		}
		legs, err := raidLegs(row)
		if err != nil {
			return row, err
		}
		return WithoutLegs(row, func(leg int) bool { return !r.whole(legs[leg]) })
	case "thin-pool":
		return Clone(row), nil
	case "crypt":
		return r.withKey(row)
	}
	return row, nil
}

// withKey is a row of type crypt with its key.
func (r *assembly) withKey(row Row) (Row, error) {
	k, err := ReadCryptKey(row)
	if err != nil {
		return row, err
	}
	if k.Kind == KeyUser {
		if err := r.sys.RestoreKey(k.Description, k.Size); err != nil {
			return row, fmt.Errorf("%v: %w", k, err)
		}
		return row, nil
	}
	if k.Kind != KeyApart {
		return row, nil
	}
	key, err := r.sys.Key(k.Description)
	if err != nil {
		return row, fmt.Errorf("%v: %w", k, err)
	}
	return WithCryptKey(row, TableKey(key))
}

// present reports whether a device that a table names is, or will be, there.
func (r *assembly) present(device string) bool {
	n, ok := Referenced(device)
	return ok && r.there(n)
}

// substitute puts numbers in the place of layers. Everything else stays as it is, byte by byte.
func (r *assembly) substitute(args string) string {
	var b strings.Builder
	for len(args) > 0 {
		word := args
		if n := strings.IndexFunc(args, unicode.IsSpace); n >= 0 {
			word = args[:n]
		}
		if n, ok := Referenced(word); ok {
			b.WriteString(r.layers[n].number.String())
		} else {
			b.WriteString(word)
		}
		args = args[len(word):]
		blank := len(args) - len(strings.TrimLeftFunc(args, unicode.IsSpace))
		b.WriteString(args[:blank])
		args = args[blank:]
	}
	return b.String()
}
