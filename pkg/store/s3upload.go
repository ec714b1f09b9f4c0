package store

import (
	"context"
	"crypto/md5"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"strings"

	"github.com/minio/minio-go/v7"

	"github.com/gokexec/gokexec/pkg/remote"
)

// maxUploads bounds how many unfinished uploads of one object are looked at.
const maxUploads = 1000

const incompleteSuffix = ".incomplete"

// Put implements Store. What fits into one part is one request, else it is a multipart upload. A file resumes one that
// is listed: parts that have the digests of ours are not sent again.
func (s *s3Store) Put(ctx context.Context, name string, src Source) (remote.Stored, error) {
	if stored, ok, err := s.there(ctx, name, src); ok || err != nil {
		return stored, err
	}
	p := newParts(ctx, src, s.settings, s.dialer.pulse)
	defer p.stop()
	first, err := p.next()
	u := &s3Upload{s3Store: s, name: name, key: s.at.Object(name), src: src, stored: remote.Stored{Name: name, Confirmed: true}}
	if err == nil && first.last {
		return u.single(ctx, first, p)
	}
	if err == nil && src.File != nil {
		err = u.find(ctx, p.size)
	}
	for part := first; err == nil; part, err = p.next() {
		if err = u.part(ctx, part); err != nil {
			break
		}
		if part.last {
			return u.complete(ctx, p)
		}
		p.release(part)
	}
	return u.broken(ctx, err, p)
}

// there tells whether the object is stored already: it has the size and the digest of a file, which is noted with it
// when its first byte is sent, and is not seen before its last.
func (s *s3Store) there(ctx context.Context, name string, src Source) (remote.Stored, bool, error) {
	if src.File == nil || src.SHA256 == "" {
		return remote.Stored{}, false, nil
	}
	info, err := s.Stat(ctx, name)
	var answer minio.ErrorResponse
	if errors.Is(err, fs.ErrNotExist) || errors.As(err, &answer) && answer.StatusCode == http.StatusForbidden {
		return remote.Stored{}, false, nil // or it may not be looked at: then it is sent
	}
	if err != nil {
		return remote.Stored{}, false, err
	}
	stored := remote.Stored{Name: name, Bytes: info.Size, SHA256: info.SHA256, Confirmed: true, Reused: info.Size}
	return stored, info.Size == src.Size && info.SHA256 == src.SHA256, nil
}

// s3Upload is an object on its way.
type s3Upload struct {
	*s3Store
	name, key string
	src       Source
	id        string // of the multipart upload; "" for none
	there     map[int]minio.ObjectPart
	parts     []minio.CompletePart
	md5s      []byte // of the parts
	stored    remote.Stored
}

func (u *s3Upload) options() minio.PutObjectOptions {
	opts := minio.PutObjectOptions{ContentType: "application/octet-stream"}
	if u.src.SHA256 != "" {
		opts.UserMetadata = map[string]string{digestKey: u.src.SHA256}
	}
	return opts
}

// single stores an object of one part.
func (u *s3Upload) single(ctx context.Context, part part, p *parts) (remote.Stored, error) {
	sum, err := p.digest(u.src)
	if err == nil {
		err = u.src.gate(ctx)
	}
	if err != nil {
		return remote.Stored{}, err
	}
	opts := u.options()
	opts.UserMetadata = map[string]string{digestKey: sum}
	var info minio.UploadInfo
	err = u.try(ctx, u.name, func(ctx context.Context) error {
		info, err = u.putSmall(ctx, u.key, part.data, part.md5, opts)
		return err
	})
	if err != nil {
		return remote.Stored{}, err
	}
	u.stored.Bytes, u.stored.SHA256 = int64(len(part.data)), sum
	u.stored.Confirmed = info.ETag == hex.EncodeToString(part.md5[:])
	return u.stored, nil
}

// find looks for an upload of this object that broke off.
func (u *s3Upload) find(ctx context.Context, partSize int64) error {
	var list minio.ListMultipartUploadsResult
	err := u.try(ctx, u.name, func(ctx context.Context) (err error) {
		list, err = u.core.ListMultipartUploads(ctx, u.at.Bucket, u.key, "", "", "", maxUploads)
		return err
	})
	if err != nil {
		// It may be that this is not allowed: then all is sent.
		u.say("%s: an earlier attempt can't be looked for: %v", u.name, err)
		return nil
	}
	var best minio.ObjectMultipartInfo
	for _, upload := range list.Uploads {
		if upload.Key == u.key && (u.id == "" || upload.Initiated.After(best.Initiated)) {
			best, u.id = upload, upload.UploadID
		}
	}
	if u.id == "" {
		return nil
	}
	if u.there, err = u.list(ctx); err != nil {
		return err
	}
	if first, ok := u.there[1]; ok && first.Size != partSize {
		u.say("%s: an earlier attempt has parts of another size; it is removed", u.name)
		u.abort(ctx)
		u.id, u.there = "", nil
	}
	return nil
}

// list lists the parts of the upload.
func (u *s3Upload) list(ctx context.Context) (map[int]minio.ObjectPart, error) {
	there := map[int]minio.ObjectPart{}
	marker := 0
	for {
		var page minio.ListObjectPartsResult
		err := u.try(ctx, u.name, func(ctx context.Context) (err error) {
			page, err = u.core.ListObjectParts(ctx, u.at.Bucket, u.key, u.id, marker, 1000)
			return err
		})
		if errors.Is(err, fs.ErrNotExist) {
			u.id = "" // it has ended in the meantime
			return nil, nil
		}
		if err != nil {
			return nil, err
		}
		for _, part := range page.ObjectParts {
			there[part.PartNumber] = part
		}
		if !page.IsTruncated || page.NextPartNumberMarker <= marker {
			return there, nil
		}
		marker = page.NextPartNumberMarker
	}
}

// part sends a part, unless the store has it.
func (u *s3Upload) part(ctx context.Context, p part) error {
	if p.number > remote.MaxParts {
		return permanent{fmt.Errorf("%s: %d parts of %d bytes are all that an object can have; set a larger part size", u.name, remote.MaxParts, len(p.data))}
	}
	sum, crc := hex.EncodeToString(p.md5[:]), p.crcText()
	sent := minio.ObjectPart{}
	if old, ok := u.there[p.number]; ok && old.Size == int64(len(p.data)) && (old.ETag == sum || old.ChecksumCRC32C == crc) {
		sent = old
		u.stored.Reused += old.Size
	} else {
		err := u.try(ctx, fmt.Sprintf("%s, part %d", u.name, p.number), func(ctx context.Context) (err error) {
			if err = u.begin(ctx); err != nil {
				return err
			}
			sent, err = u.core.PutObjectPart(ctx, u.at.Bucket, u.key, u.id, p.number, p.reader(), int64(len(p.data)), minio.PutObjectPartOptions{
				Md5Base64: base64.StdEncoding.EncodeToString(p.md5[:]), DisableContentSha256: true,
				CustomHeader: http.Header{minio.ChecksumCRC32C.Key(): {crc}},
			})
			return err
		})
		if err != nil {
			return err
		}
	}
	u.stored.Bytes += int64(len(p.data))
	u.md5s = append(u.md5s, p.md5[:]...)
	u.stored.Confirmed = u.stored.Confirmed && (sent.ETag == sum || sent.ChecksumCRC32C == crc)
	u.parts = append(u.parts, minio.CompletePart{PartNumber: p.number, ETag: sent.ETag, ChecksumCRC32C: sent.ChecksumCRC32C})
	return nil
}

// begin begins the multipart upload, if that has not been done.
func (u *s3Upload) begin(ctx context.Context) (err error) {
	if u.id != "" {
		return nil
	}
	opts := u.options()
	if opts.UserMetadata == nil {
		opts.UserMetadata = map[string]string{}
	}
	opts.UserMetadata["X-Amz-Checksum-Algorithm"] = "CRC32C"
	u.id, err = u.core.NewMultipartUpload(ctx, u.at.Bucket, u.key, opts)
	return err
}

// complete makes an object of the parts. The answer may be lost: then it is there, and a server may know nothing of
// the upload any more.
func (u *s3Upload) complete(ctx context.Context, p *parts) (remote.Stored, error) {
	sum, err := p.digest(u.src)
	if err == nil {
		err = u.src.gate(ctx)
	}
	if err != nil {
		u.abort(ctx)
		return remote.Stored{}, err
	}
	u.stored.SHA256 = sum
	etag := u.etag()
	err = u.try(ctx, u.name, func(ctx context.Context) error {
		_, err := u.core.CompleteMultipartUpload(ctx, u.at.Bucket, u.key, u.id, u.parts, minio.PutObjectOptions{})
		if code := minio.ToErrorResponse(err).Code; code != minio.NoSuchUpload && code != minio.NoSuchKey {
			return err
		}
		if info, statErr := u.core.StatObject(ctx, u.at.Bucket, u.key, minio.StatObjectOptions{}); statErr == nil && info.Size == u.stored.Bytes && info.ETag == etag {
			return nil
		}
		return err
	})
	if err != nil {
		return remote.Stored{}, err
	}
	var info minio.ObjectInfo
	err = u.try(ctx, u.name, func(ctx context.Context) (err error) {
		info, err = u.core.StatObject(ctx, u.at.Bucket, u.key, minio.StatObjectOptions{})
		return err
	})
	var answer minio.ErrorResponse
	if errors.As(err, &answer) && answer.StatusCode == http.StatusForbidden {
		u.stored.Confirmed = false // it may be stored, and not looked at
		return u.stored, nil
	}
	if err == nil && info.Size != u.stored.Bytes {
		err = fmt.Errorf("%s: %s has %d bytes of it; %d were sent", u.name, u.server(), info.Size, u.stored.Bytes)
	}
	if err != nil {
		return remote.Stored{}, err
	}
	u.stored.Confirmed = u.stored.Confirmed && (info.ETag == etag || !isMD5Tag(info.ETag))
	return u.stored, nil
}

// etag is the digest that servers give to an object of these parts: the MD5 of the MD5s, and their number.
func (u *s3Upload) etag() string {
	sum := md5.Sum(u.md5s)
	return fmt.Sprintf("%s-%d", hex.EncodeToString(sum[:]), len(u.parts))
}

// isMD5Tag tells whether an ETag could be made of MD5s: with some ways of encryption it is not.
func isMD5Tag(tag string) bool {
	sum, _, multi := strings.Cut(tag, "-")
	b, err := hex.DecodeString(sum)
	return multi && err == nil && len(b) == md5.Size
}

// broken ends an upload that will not be whole. That of a file stays, to be resumed; of a stream that was abandoned
// what there is becomes NAME.incomplete, and of another nothing stays.
func (u *s3Upload) broken(ctx context.Context, cause error, p *parts) (remote.Stored, error) {
	if !errors.Is(cause, remote.ErrAbandoned) {
		if u.src.File == nil || errors.Is(cause, errChanged) {
			u.abort(ctx)
		}
		return remote.Stored{}, cause
	}
	incomplete := &s3Upload{s3Store: u.s3Store, name: u.name + incompleteSuffix, key: u.key + incompleteSuffix}
	incomplete.stored = remote.Stored{Name: incomplete.name, Confirmed: true}
	rest := p.rest()
	if u.id == "" {
		if len(rest.data) == 0 {
			return remote.Stored{}, fmt.Errorf("%s: nothing of it is kept: %w", u.name, cause)
		}
		return incomplete.single(ctx, rest, p)
	}
	if len(rest.data) > 0 {
		if err := u.part(ctx, rest); err != nil {
			u.abort(ctx)
			return remote.Stored{}, err
		}
	}
	stored, err := u.complete(ctx, p)
	if err != nil {
		return remote.Stored{}, err
	}
	return incomplete.moveFrom(ctx, u, stored)
}

// moveFrom gives an object another name: a copy within the store.
func (u *s3Upload) moveFrom(ctx context.Context, from *s3Upload, stored remote.Stored) (remote.Stored, error) {
	err := u.try(ctx, u.name, func(ctx context.Context) error {
		_, err := u.core.ComposeObject(ctx, minio.CopyDestOptions{Bucket: u.at.Bucket, Object: u.key}, minio.CopySrcOptions{Bucket: u.at.Bucket, Object: from.key})
		return err
	})
	if err != nil {
		return remote.Stored{}, fmt.Errorf("%s is stored, but not whole: %w", from.name, err)
	}
	if err := u.Delete(ctx, from.name); err != nil {
		return remote.Stored{}, fmt.Errorf("%s is stored, but not whole: %w", from.name, err)
	}
	stored.Name = u.name
	return stored, nil
}

// abort removes the parts. They cost room, and nobody else sees them.
func (u *s3Upload) abort(ctx context.Context) {
	if u.id == "" {
		return
	}
	if err := u.core.AbortMultipartUpload(context.WithoutCancel(ctx), u.at.Bucket, u.key, u.id); err != nil {
		u.say("%s: the parts of its upload may stay: %v", u.name, err)
	}
}
