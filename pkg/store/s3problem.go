package store

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"syscall"

	"github.com/minio/minio-go/v7"

	"github.com/gokexec/gokexec/pkg/advice"
)

// explain makes one clear line of an error of S3, and tells whether another attempt could end otherwise.
func (s *s3Store) explain(err error, status int) error {
	if errors.Is(err, ErrUnconditional) {
		return permanent{err}
	}
	answer := minio.ToErrorResponse(err)
	if answer.Code == "" && answer.StatusCode == 0 {
		return networkProblem(s.server(), err)
	}
	if status == 0 {
		status = answer.StatusCode
	}
	bucket := s.at.Bucket
	say := func(what, hint string) error {
		return permanent{&advice.Problem{What: fmt.Sprintf("%s: %s (%s)", s.server(), what, codeText(answer.Code, status)), Hint: hint, Err: err}}
	}
	switch answer.Code {
	case "NoSuchBucket":
		return say("there is no bucket "+bucket, "make it, or correct the location")
	case "NoSuchKey", "NoSuchUpload":
		return permanent{fmt.Errorf("%s: %s: %w", s.server(), answer.Code, notThere{err})}
	case "InvalidAccessKeyId", "SignatureDoesNotMatch", "InvalidToken", "ExpiredToken", "InvalidClientTokenId":
		return say("the credentials are refused", "Credentials= says where they are from")
	case "AccessDenied", "AllAccessDisabled", "AccountProblem":
		return say("access to bucket "+bucket+" is denied", "the policy has to allow s3:PutObject, s3:GetObject and s3:ListBucketMultipartUploads, s3:ListMultipartUploadParts below the prefix")
	case "RequestTimeTooSkewed":
		return say("the clock of this machine is off", "set it; the server allows a quarter of an hour")
	case "PermanentRedirect", "TemporaryRedirect", "AuthorizationHeaderMalformed", "IllegalLocationConstraintException":
		hint := "Region= says where the bucket is"
		if answer.Region != "" {
			hint = "it is in region " + answer.Region + ": Region=" + answer.Region
		}
		return say("bucket "+bucket+" is in another region", hint)
	case "QuotaExceeded", "XMinioStorageFull", "InsufficientCapacity", "TooManyBuckets", "XMinioAdminBucketQuotaExceeded":
		return say("the server has no room", "")
	case "EntityTooLarge", "InvalidArgument", "InvalidRequest", "MalformedXML", "InvalidPart", "InvalidPartOrder", "EntityTooSmall", "NotImplemented", "MethodNotAllowed", "InvalidBucketName":
		return say(oneLine(answer.Message), "")
	case "BadDigest", "XAmzContentChecksumMismatch", "InvalidDigest", "IncompleteBody":
		return fmt.Errorf("%s: what arrived was damaged on the way (%s)", s.server(), answer.Code)
	}
	switch {
	case status == http.StatusNotFound:
		return permanent{fmt.Errorf("%s: %w", s.server(), notThere{err})}
	case status == http.StatusInsufficientStorage:
		return say("the server has no room", "")
	case status == http.StatusForbidden || status == http.StatusUnauthorized:
		return say("access is denied", "Credentials= says where the credentials are from, and the policy of the bucket what they may do")
	case status >= 300 && status < 400:
		return say("the server redirects elsewhere", "Region= and Endpoint= say where the bucket is")
	case status >= 400 && status < 500 && status != http.StatusRequestTimeout && status != http.StatusTooManyRequests && status != http.StatusConflict:
		return say(oneLine(answer.Message), "")
	}
	return fmt.Errorf("%s: %s (%s)", s.server(), oneLine(answer.Message), codeText(answer.Code, status))
}

// server names the server in a message.
func (s *s3Store) server() string { return s.core.EndpointURL().Host }

func codeText(code string, status int) string {
	switch {
	case status == 0:
		return code
	case code == "":
		return fmt.Sprint(status)
	}
	return fmt.Sprintf("%d %s", status, code)
}

func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }

// notThere is an error about an object that does not exist.
type notThere struct{ error }

func (n notThere) Error() string { return "there is no such object" }

func (n notThere) Unwrap() []error { return []error{n.error, fs.ErrNotExist} }

const certificateHint = "ClientCert= and ClientKey= name a certificate if it asks for one"

// networkProblem explains an error below HTTP and SSH.
func networkProblem(server string, err error) error {
	var unknown x509.UnknownAuthorityError
	var name x509.HostnameError
	var invalid x509.CertificateInvalidError
	var plain tls.RecordHeaderError
	var uncertified uncertified
	var lookup *net.DNSError
	var op *net.OpError
	say := func(what, hint string) error {
		return &advice.Problem{What: server + ": " + what, Hint: hint, Err: err}
	}
	switch {
	case errors.As(err, &unknown):
		return permanent{say("its certificate is from an authority that is not trusted", "CAFile= names the file of the authority's certificate")}
	case errors.As(err, &name):
		return permanent{say("its certificate is for other names: "+name.Error(), "")}
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return permanent{say("its certificate is expired or not valid yet: "+invalid.Error(), "the clock of this machine may be wrong")}
	case errors.As(err, &invalid):
		return permanent{say("its certificate is not valid: "+invalid.Error(), "")}
	case errors.As(err, &op) && op.Op == "remote error": // an alert of TLS
		return permanent{say("it refuses the connection: "+op.Err.Error(), certificateHint)}
	case errors.As(err, &plain) || strings.Contains(err.Error(), "server gave HTTP response to HTTPS client"):
		return permanent{say("it does not speak TLS", "")}
	case errors.As(err, &uncertified):
		return say("it has asked for a certificate, and closed the connection", certificateHint)
	case errors.As(err, &lookup) && lookup.IsNotFound:
		return say("its name can't be resolved", "")
	}
	return fmt.Errorf("%s: %w", server, shorter(err))
}

// closed tells whether the server has closed the connection.
func closed(err error) bool {
	return slices.ContainsFunc([]error{net.ErrClosed, io.EOF, io.ErrUnexpectedEOF, syscall.ECONNRESET, syscall.EPIPE}, func(end error) bool { return errors.Is(err, end) })
}

// shorter leaves out what the messages of net/http repeat.
func shorter(err error) error {
	var stalled stalledError
	var request *url.Error
	var op *net.OpError
	switch {
	case errors.As(err, &stalled):
		return stalled
	case closed(err):
		return fmt.Errorf("the server has closed the connection: %w", err)
	case errors.As(err, &op):
		return op
	case errors.As(err, &request):
		return request.Err
	}
	return err
}
