// Package advice has the two forms in which gokexec says what is wrong and what to do
// about it: a Problem is an error with a remedy, a Finding the outcome of one check.
package advice
