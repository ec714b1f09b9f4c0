// Package arch contains the test that imports point down only, through the layers that
// ARCHITECTURE.md shows.
package arch
