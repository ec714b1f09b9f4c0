package capture

import "context"

// format turns the old memory into the bytes of a dump.
type format interface {
	// write writes the dump and says what is in it. An error wraps errSource if the source ended or
	// the capture was cancelled, errFilter if it can't be told which pages to leave out, errFormat if the format
	// itself failed; any other is the dump's. w is a writableAt where it is on a disk. advance is
	// called often, also for pages that are left out.
	write(ctx context.Context, w dump, s *source, advance func(step)) (saved, error)
}

// step is how far a dump is, in pages of the crashed kernel.
type step struct {
	pages, all  uint64 // looked at, of the machine's memory
	saved, kept uint64 // in the dump, of those that will be; kept is 0 until it is known
}

// saved is what a dump has, in pages.
type saved struct {
	memory uint64 // of the machine
	kept   uint64 // in the dump, zero pages included
	zero   uint64 // of these, zero pages that took no room
	loss   pageLoss
}
