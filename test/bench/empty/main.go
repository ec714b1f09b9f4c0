// Command empty does nothing: what any program of Go costs at least.
package main

func main() {}
