package storage

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"

	"github.com/gokexec/gokexec/internal/sysfs"
)

// maxFstab bounds what is read of /etc/fstab, in bytes.
const maxFstab = 1 << 20

// Unmounted gives the mount point of /etc/fstab that a directory lies below and on which nothing is mounted now:
// what is written to the directory now goes to another filesystem than the administrator means. It is "" if
// there is none.
func (m *Machine) Unmounted(dir string) (point string, err error) {
	text, err := sysfs.ReadFile(m.sys.FS(), "etc/fstab", maxFstab)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("read the mounts that are to be: %w", sysfs.Rooted(err))
	}
	s, err := m.see(dir)
	if err != nil {
		return "", err
	}
	mounts, err := m.mounts()
	if err != nil {
		return "", err
	}
	mounted := map[string]bool{}
	for _, mount := range mounts {
		mounted[mount.Point] = true
	}
	for _, p := range mountPoints(string(text)) {
		if (p == s.real || strings.HasPrefix(s.real, strings.TrimSuffix(p, "/")+"/")) && !mounted[p] && len(p) > len(point) {
			point = p
		}
	}
	return point, nil
}

// mountPoints reads the second fields of fstab(5). Those of swap are no paths.
func mountPoints(fstab string) []string {
	var points []string
	for line := range strings.Lines(fstab) {
		fields := strings.Fields(line)
		if len(fields) < 2 || strings.HasPrefix(fields[0], "#") {
			continue
		}
		if p := unescapeOctal(fields[1]); path.IsAbs(p) {
			points = append(points, path.Clean(p))
		}
	}
	return points
}
