// Package arch holds the test that keeps imports going one way, down through
// the layers that ARCHITECTURE.md draws.
package arch
