// Command guest writes and compares files in a guest of the storage laboratory.
//
//	guest write FILE KEY SIZE      writes a file whose content KEY says, and syncs it
//	guest compare FILE KEY SIZE    compares such a file
//	guest grow DIR...              lets DIR/growing grow by one block after the other, and changes DIR/churn between;
//	                               prints "DIR BLOCKS" when that many are on the disk
//	guest grown DIR BLOCKS         compares so many blocks of DIR/growing
//	guest equal FILE FILE          compares two files
//	guest alua SERIAL NAME         makes a storage array of a disk
//	guest mkdir DIR                makes a directory
//	guest record DIR               prints what a capture to it needs, as a Record
//	guest forget TYPE DESCRIPTION  takes a key out of root's user keyring
//	guest session PROGRAM ARG...   runs a program with a session keyring of its own, as a service has
//	guest lacks HEX[,HEX] DIR... [--but NAME]  looks for bytes, and their hexadecimal digits, in all files of a filesystem below,
//	                               apart from those of a name
//
// SIZE is in bytes, a multiple of the block's.
package main

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
)

const (
	blockSize = 16 << 10
	maxGrown  = 64 // blocks; then only churn changes
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "guest:", err)
		os.Exit(1)
	}
}

var errUsage = errors.New("usage: guest write|compare FILE KEY SIZE | guest grow DIR... | guest grown DIR BLOCKS | guest equal FILE FILE | guest mkdir|record DIR | guest alua SERIAL NAME | guest forget TYPE DESCRIPTION | guest session PROGRAM ARG... | guest lacks HEX[,HEX] DIR... [--but NAME]")

func run(args []string) error {
	if len(args) < 2 {
		return errUsage
	}
	switch verb := args[0]; {
	case verb == "grow":
		return grow(args[1:])
	case verb == "mkdir" && len(args) == 2:
		return os.Mkdir(args[1], 0o755)
	case verb == "alua" && len(args) == 3:
		return alua(args[1], args[2])
	case verb == "record" && len(args) == 2:
		return record(args[1])
	case verb == "forget" && len(args) == 3:
		return forget(args[1], args[2])
	case verb == "session":
		return session(args[1:])
	case verb == "lacks" && len(args) > 2:
		return lacks(args[1], args[2:])
	case verb == "equal" && len(args) == 3:
		return equal(args[1], args[2])
	case verb == "grown" && len(args) == 3:
		blocks, err := strconv.Atoi(args[2])
		if err != nil {
			return err
		}
		return compare(filepath.Join(args[1], "growing"), args[1], int64(blocks)*blockSize)
	case (verb == "write" || verb == "compare") && len(args) == 4:
		size, err := strconv.ParseInt(args[3], 10, 64)
		if err != nil {
			return err
		}
		if verb == "write" {
			return write(args[1], args[2], size)
		}
		if err := compare(args[1], args[2], size); err != nil {
			return err
		}
		info, err := os.Stat(args[1])
		if err == nil && info.Size() != size {
			err = fmt.Errorf("%s has %d bytes; want %d", args[1], info.Size(), size)
		}
		return err
	}
	return errUsage
}

// equal compares two files that are not large.
func equal(one, other string) error {
	a, err := os.ReadFile(one)
	if err != nil {
		return err
	}
	b, err := os.ReadFile(other)
	if err == nil && !bytes.Equal(a, b) {
		err = fmt.Errorf("%s, of %d bytes, differs from %s, of %d", one, len(a), other, len(b))
	}
	return err
}

// content is a stream that a key says.
func content(key string) io.Reader { return rand.NewChaCha8(sha256.Sum256([]byte(key))) }

// write writes a new file, and syncs it with its directory.
func write(path, key string, size int64) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	_, err = io.CopyN(f, content(key), size)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

// compare reads the first bytes of a file.
func compare(path, key string, size int64) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	got, want, stream := make([]byte, blockSize), make([]byte, blockSize), content(key)
	for at := int64(0); at < size; at += blockSize {
		if _, err := io.ReadFull(f, got); err != nil {
			return fmt.Errorf("%s at %d of %d: %w", path, at, size, err)
		}
		if _, err := io.ReadFull(stream, want); err != nil {
			return err
		}
		if !bytes.Equal(got, want) {
			return fmt.Errorf("%s differs in the block at %d of %d; it begins with % x, want % x", path, at, size, got[:16], want[:16])
		}
	}
	return nil
}

// grower is the writer of one directory.
type grower struct {
	dir            string
	growing, churn *os.File
	stream         io.Reader
	blocks         int
}

// grow writes until it is killed.
func grow(dirs []string) error {
	var all []*grower
	for _, dir := range dirs {
		g := &grower{dir: dir, stream: content(dir)}
		var err error
		if g.growing, err = os.Create(filepath.Join(dir, "growing")); err != nil {
			return err
		}
		if g.churn, err = os.Create(filepath.Join(dir, "churn")); err != nil {
			return err
		}
		all = append(all, g)
	}
	for round := int64(0); ; round++ {
		for _, g := range all {
			if err := g.step(round); err != nil {
				return fmt.Errorf("%s: %w", g.dir, err)
			}
		}
	}
}

func (g *grower) step(round int64) error {
	b := make([]byte, blockSize)
	for i := range b {
		b[i] = byte(round)
	}
	// Over what is there. It is waited for: of a page that changes while it is written the members of a RAID 1 may get
	// different versions, which is nobody's fault (md(4), mismatch_cnt).
	if _, err := g.churn.WriteAt(b, round%16*blockSize); err != nil {
		return err
	}
	if err := g.churn.Sync(); err != nil {
		return err
	}
	if g.blocks == maxGrown {
		return nil
	}
	if _, err := io.ReadFull(g.stream, b); err != nil {
		return err
	}
	if _, err := g.growing.Write(b); err != nil {
		return err
	}
	if err := g.growing.Sync(); err != nil {
		return err
	}
	g.blocks++
	fmt.Println(g.dir, g.blocks)
	return nil
}
