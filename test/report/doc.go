// Package report has the tests that crash real kernels in every way that a crash report tells apart, by crashmodule, a
// kernel module of its own.
package report
