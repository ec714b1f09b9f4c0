package kdumpfile

import "io"

// sink writes one part of a file from its begin to its end, in large pieces.
type sink struct {
	w   io.WriterAt
	at  int64  // where b goes
	b   []byte // not written yet
	end *int64 // of the file so far
}

// Write adds p.
func (s *sink) Write(p []byte) (int, error) {
	n := 0
	for n < len(p) {
		if len(s.b) == 0 && len(p)-n >= cap(s.b) {
			m, err := s.write(p[n:])
			return n + m, err
		}
		m := min(cap(s.b)-len(s.b), len(p)-n)
		s.b = append(s.b, p[n:n+m]...)
		if n += m; len(s.b) == cap(s.b) {
			if err := s.flush(); err != nil {
				return n, err
			}
		}
	}
	return n, nil
}

// pos is where the next byte goes.
func (s *sink) pos() int64 { return s.at + int64(len(s.b)) }

func (s *sink) write(p []byte) (int, error) {
	n, err := s.w.WriteAt(p, s.at)
	if err == nil && n < len(p) {
		err = io.ErrShortWrite
	}
	s.at += int64(n)
	if n > 0 {
		*s.end = max(*s.end, s.at)
	}
	return n, err
}

// flush writes what was added. After an error the rest of it is dropped.
func (s *sink) flush() error {
	if len(s.b) == 0 {
		return nil
	}
	_, err := s.write(s.b)
	s.b = s.b[:0]
	return err
}

// zeroes adds n bytes of 0.
func (s *sink) zeroes(n uint64) error {
	var zero [4096]byte
	for n > 0 {
		m := min(n, uint64(len(zero)))
		if _, err := s.Write(zero[:m]); err != nil {
			return err
		}
		n -= m
	}
	return nil
}
