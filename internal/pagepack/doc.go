// Package pagepack packs single pages of memory, as Zstandard frames (RFC 8878) and as zlib streams (RFC 1950, 1951), faster
// than a general encoder: a page is one block, its tables are small, and what a general encoder does for each stream
// beyond that takes as long as the page itself.
//
// Every decoder reads what it writes. What is written depends on the input alone.
package pagepack
