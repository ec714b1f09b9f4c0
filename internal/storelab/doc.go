// Package storelab runs servers that dumps are sent to, for tests: versitygw (S3) and OpenSSH's sshd, on loopback, as
// this user. versitygw is installed by go install into the cache of internal/vmlab's downloads, once. A test that
// can't have a server is skipped, and says so; with GOKEXEC_STORES_REQUIRED=1 it fails.
package storelab
