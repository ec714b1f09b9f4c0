package capture

import "fmt"

// fakeMounts note what is mounted.
type fakeMounts struct {
	*fakeMachine
	mountErr map[string]error // by type
	mounted  func(point string)
	// mountFails says how a mount fails.
	mountFails func(fstype, data string) error
}

func (s *fakeMounts) Mount(source, target, fstype, data string) error {
	s.call("Mount")
	if err := s.mountErr[fstype]; err != nil {
		return fmt.Errorf("mount %s: %w", source, err)
	}
	s.event("mount %s %s %s %s", source, target, fstype, data)
	if s.mounted != nil {
		s.mounted(target)
	}
	if s.mountFails != nil {
		if err := s.mountFails(fstype, data); err != nil {
			return fmt.Errorf("mount %s: %w", source, err)
		}
	}
	return nil
}

func (s *fakeMounts) Unmount(target string) error { s.event("unmount %s", target); return nil }
func (s *fakeMounts) Detach(target string) error {
	s.event("detach %s", target)
	s.call("Detach")
	return nil
}
func (s *fakeMounts) Sync() { s.call("Sync"); s.event("sync") }
