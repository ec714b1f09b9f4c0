package seal

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"filippo.io/age"

	"github.com/gokexec/gokexec/pkg/advice"
)

// Recipients are the public keys that files are encrypted for: any of their private keys decrypts them.
type Recipients []age.Recipient

// ParseRecipients reads age1... and age1pq1... keys, as age-keygen prints them.
func ParseRecipients(keys []string) (Recipients, error) {
	var all Recipients
	for _, key := range keys {
		list, err := age.ParseRecipients(strings.NewReader(key))
		if err != nil || len(list) != 1 {
			return nil, &advice.Problem{What: fmt.Sprintf("recipient %q is not a public key of age", key), Hint: "age-keygen prints one, which begins with age1", Err: err}
		}
		all = append(all, list...)
	}
	return all, nil
}

// Writer encrypts what is written to it. Only after Close is all of it in w.
func (r Recipients) Writer(w io.Writer) (io.WriteCloser, error) { return age.Encrypt(w, r...) }

// Reader is what r gives, encrypted. An error of r comes through. Close lets go of it early.
func (r Recipients) Reader(from io.Reader) io.ReadCloser {
	out, in := io.Pipe()
	go func() {
		// Fewer, larger steps: a pipe hands over one write at a time.
		buf := bufio.NewWriterSize(in, 256<<10)
		w, err := r.Writer(buf)
		if err == nil {
			_, err = io.Copy(w, from)
		}
		if err == nil {
			err = w.Close()
		}
		if flushErr := buf.Flush(); err == nil {
			err = flushErr
		}
		in.CloseWithError(err)
	}()
	return out
}

// Identity is a private key.
type Identity = age.Identity

// ErrKey: no key decrypts the file.
var ErrKey = errors.New("it is encrypted for other keys")

// ReadIdentities reads a file of private keys, as age-keygen writes it.
func ReadIdentities(name string) ([]Identity, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	list, err := age.ParseIdentities(f)
	if err != nil {
		return nil, &advice.Problem{What: fmt.Sprintf("%s has no private key of age: %v", name, err), Hint: "age-keygen -o FILE makes one", Err: err}
	}
	return list, nil
}

// Decrypt writes what an encrypted file has. A file that is cut off or was changed is an error, which comes when the
// part before was written.
func Decrypt(to io.Writer, from io.Reader, keys []Identity) error {
	r, err := age.Decrypt(bufio.NewReaderSize(from, 256<<10), keys...)
	var none *age.NoIdentityMatchError
	if errors.As(err, &none) {
		return ErrKey
	}
	if err != nil {
		return err
	}
	_, err = io.Copy(to, r)
	return err
}

// Overhead is how many bytes more an encrypted file of size bytes may have: the head for a few recipients, and 16 bytes
// for each 64 KiB.
func Overhead(size int64) int64 { return 16<<10 + size/(64<<10)*16 + 16 }
