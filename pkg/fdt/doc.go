// Package fdt reads, changes and writes flattened device trees (Devicetree
// Specification, chapter 5, "Flattened Devicetree (DTB) Format"; scripts/dtc/libfdt
// in Linux). It keeps every byte of names and values, so that a tree that is read
// and written is the same tree, and it refuses what the kernel would refuse:
// version 16 or 17, blocks inside of the file, names that end, nodes that close.
//
// What a kernel is told at its start is in /chosen (Documentation/devicetree/
// bindings/chosen.txt and dt-schema's chosen.yaml).
package fdt
