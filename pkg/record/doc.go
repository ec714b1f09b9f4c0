// Package record keeps what was loaded last: what was asked for, so that the very same can
// be loaded again, and what came of it. The record is a file in the state directory,
// written whole or not at all.
package record
