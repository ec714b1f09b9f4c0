#!/bin/sh
# A hook is sourced and must not end dracut.
/usr/sbin/gokexec-capture || emergency_shell -n gokexec 'gokexec could not save the memory of the crashed kernel'
