// Package zstdpage packs single pages of memory into Zstandard frames (RFC 8878), faster than a general
// encoder: a page is one block, its tables are small, and what a general encoder does for each frame
// beyond that takes as long as the page itself.
//
// Every decoder reads what it writes. What is written depends on the input alone.
package zstdpage
