// Package report has the tests that crash real kernels in every way that a crash report tells apart, by crashmodule, a
// kernel module of its own.
//
//	GOKEXEC_VM_REPORT   "all": every way on every kernel that GOKEXEC_VM_MATRIX names (make vm-report); without it the tests are skipped
//	GOKEXEC_VM_KINDS    ways to crash, separated by commas, instead
//	GOKEXEC_VM_CRASHES  a directory where TestVMReportSave leaves dumps and logs: KERNEL-CRASH/{vmcore,log}
package report
