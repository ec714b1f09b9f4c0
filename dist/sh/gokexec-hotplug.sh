#!/bin/sh
# For systems with neither systemd nor OpenRC: run it from the init scripts or from
# inittab (::respawn:/usr/share/gokexec/gokexec-hotplug.sh). It starts the daemon
# again whenever that ends.
set -u

while :; do
	@SBINDIR@/gokexec hotplug --daemon
	rm -f /run/gokexec/daemon
	sleep 1
done
