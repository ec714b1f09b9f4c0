package storage

import "testing"

func TestUnmounted(t *testing.T) {
	b := newBench(t)
	if point, err := b.Unmounted("/var/crash"); point != "" || err != nil {
		t.Errorf("without a fstab: %q, %v", point, err)
	}
	b.file("etc/fstab", `# /etc/fstab
UUID=1 / ext4 defaults 0 1
UUID=2	/srv	ext4	nofail 0 2
UUID=3 /srv/in\040the/middle ext4 defaults 0 2
UUID=4 none swap sw 0 0
UUID=5 /data ext4 noauto 0 0
bad
`)
	b.mount("23 22 8:3 / /data rw - ext4 /dev/sda2 rw")
	b.link("crash", "srv/in the/middle/x")
	for dir, want := range map[string]string{
		"/": "", "/var/crash": "", "/srv": "/srv", "/srv/": "/srv", "/srv/x": "/srv", "/srvx": "", "/srv/in the/middle/x": "/srv/in the/middle",
		"/crash": "/srv/in the/middle", "/data/x": "", "/none": "",
	} {
		if point, err := b.Unmounted(dir); point != want || err != nil {
			t.Errorf("Unmounted(%s) = %q, %v; want %q", dir, point, err, want)
		}
	}
}
