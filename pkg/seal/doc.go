// Package seal encrypts what leaves a machine for public keys, and decrypts it again: age files (age-encryption.org/v1),
// which age(1) reads too. The machine that encrypts has no secret. Only gokexec-remote has this package.
package seal
