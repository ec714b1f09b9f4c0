package pagefilter

// Forget makes the survey forget the classes of single pages.
func (s *Survey) Forget() { s.known = nil }

// EachMemory is for tests.
func (f *Filter) EachMemory(first, end uint64, do func(from, to uint64) error) error {
	return f.eachMemory(first, end, do)
}
