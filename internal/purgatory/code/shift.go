//go:build purgatory && shift

package main

// init only takes up room: with it, the code that follows lies elsewhere in its
// 4 KiB page, which shows the generator that no address of a page is built in.
func init() {
	println("one", "two", "three", "four", "five", "six", "seven", "eight")
	println("one", "two", "three", "four", "five", "six", "seven", "eight")
	println("one", "two", "three", "four", "five", "six", "seven", "eight")
}
