// Package kdumpconf reads the configuration that distributions' own kdump has, and gives the same as settings of
// gokexec.conf: /etc/kdump.conf and /etc/sysconfig/kdump of Fedora and RHEL, /etc/default/kdump-tools of Debian
// and Ubuntu, /etc/sysconfig/kdump of SUSE. Each directive that has no counterpart is named. No shell reads
// the files.
package kdumpconf
