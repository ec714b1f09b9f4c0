package pagefilter

// Forget makes the survey forget the classes of single pages.
func (s *Survey) Forget() { s.known = nil }

// Coarsen makes the survey remember blocks only.
func (s *Survey) Coarsen() {
	coarse := runs{windows: map[uint64][]byte{}}
	for first, b := range s.known.windows {
		coarse.windows[first] = appendBlocks(nil, b)
	}
	s.known = &coarse
}

// EachMemory is for tests.
func (f *Filter) EachMemory(first, end uint64, do func(from, to uint64) error) error {
	return f.eachMemory(first, end, do)
}
