package store

import (
	"bytes"
	"context"
	"crypto/md5"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"hash/crc32"
	"io"

	"github.com/gokexec/gokexec/pkg/remote"
)

// errChanged: a file has not the digest that it had.
var errChanged = errors.New("it has changed since it was looked at")

// part is a part of an object, in memory.
type part struct {
	number int // from 1
	data   []byte
	last   bool
	md5    [md5.Size]byte
	crc    uint32 // CRC-32C
}

func (p part) reader() *bytes.Reader { return bytes.NewReader(p.data) }

// crcText is the CRC as S3 has it: base64, the first byte is the most significant.
func (p part) crcText() string {
	var b [4]byte
	binary.BigEndian.PutUint32(b[:], p.crc)
	return base64.StdEncoding.EncodeToString(b[:])
}

// parts cuts an object into parts. While one is sent, the next one is read: there are two in memory.
type parts struct {
	size   int64
	src    io.Reader
	sum    hash.Hash
	length int64

	ready  chan part
	free   chan []byte
	ctx    context.Context
	cancel context.CancelFunc
	err    error // after ready is closed
	tail   part  // what was read before an error
}

// newParts begins to read.
func newParts(ctx context.Context, src Source, s remote.Settings, beat *pulse) *parts {
	p := &parts{src: src.Reader, sum: sha256.New(), ready: make(chan part), free: make(chan []byte, 2)}
	estimate := src.Estimate
	if src.File != nil {
		p.src, estimate = io.NewSectionReader(src.File, 0, src.Size), src.Size
	}
	p.src = beat.reader(p.src)
	p.size = s.PartBytes
	if p.size == 0 {
		p.size = remote.PartSize(estimate)
	}
	room := p.size
	if src.File != nil {
		room = min(room, src.Size+1)
	}
	p.ctx, p.cancel = context.WithCancel(ctx)
	p.free <- make([]byte, 0, room)
	if src.File == nil || src.Size > p.size {
		p.free <- nil // made when it is needed
	}
	go p.read(room)
	return p
}

// read fills parts. That a part is the last one is known when no byte follows.
func (p *parts) read(room int64) {
	defer close(p.ready)
	table := crc32.MakeTable(crc32.Castagnoli)
	var ahead [1]byte
	begun := 0
	for number := 1; ; number++ {
		var buf []byte
		select {
		case buf = <-p.free:
		case <-p.ctx.Done():
			p.err = context.Cause(p.ctx)
			return
		}
		if buf == nil {
			buf = make([]byte, 0, room)
		}
		buf = append(buf[:0], ahead[:begun]...)
		n, err := readFull(p.src, buf[len(buf):cap(buf)][:max(0, min(int64(cap(buf)), p.size)-int64(len(buf)))])
		buf = buf[:len(buf)+n]
		part := part{number: number, data: buf}
		if err == nil {
			begun, err = readFull(p.src, ahead[:])
		}
		part.last = err == io.EOF
		part.md5, part.crc = md5.Sum(buf), crc32.Checksum(buf, table)
		p.sum.Write(buf)
		p.length += int64(len(buf))
		if err != nil && err != io.EOF {
			p.err, p.tail = err, part
			return
		}
		select {
		case p.ready <- part:
		case <-p.ctx.Done():
			p.err = context.Cause(p.ctx)
			return
		}
		if part.last {
			return
		}
	}
}

// readFull reads until b is full or there is an error; unlike io.ReadFull it returns what the reader returned.
func readFull(r io.Reader, b []byte) (n int, err error) {
	for n < len(b) && err == nil {
		var m int
		m, err = r.Read(b[n:])
		n += m
	}
	if n == len(b) && len(b) > 0 {
		err = nil
	}
	return n, err
}

// next gives the next part; release gives its memory back.
func (p *parts) next() (part, error) {
	next, ok := <-p.ready
	if !ok {
		return part{}, p.err
	}
	return next, nil
}

func (p *parts) release(done part) {
	select {
	case p.free <- done.data:
	default:
	}
}

// rest is what there was before an error, after the last part that next gave.
func (p *parts) rest() part { return p.tail }

// digest is the SHA-256 of all that was read, in hexadecimal, after the last part. It must be that of the source, if
// that is known.
func (p *parts) digest(src Source) (string, error) {
	sum := hex.EncodeToString(p.sum.Sum(nil))
	if src.File != nil && p.length != src.Size || src.SHA256 != "" && src.SHA256 != sum {
		return "", fmt.Errorf("%w: its SHA-256 is %s, and was %s", errChanged, sum, src.SHA256)
	}
	return sum, nil
}

func (p *parts) stop() { p.cancel() }
