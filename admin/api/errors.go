package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"github.com/distributedmq/dmq/protocol/errcode"
)

// Error is what every failed request is answered with.
type Error struct {
	Success   bool   `json:"success" doc:"always false"`
	ErrorCode string `json:"errorCode" doc:"Kafka's name of the error, or CONTROLLER_NOT_AVAILABLE, NOT_FOUND, METHOD_NOT_ALLOWED, GONE, OVERLOADED, FORBIDDEN"`
	Message   string `json:"message" doc:"what went wrong, for people; also the header X-Error-Message"`

	ControllerID   *int32 `json:"controllerId,omitempty" doc:"with NOT_CONTROLLER: the active controller; also the header X-Controller-Leader"`
	ControllerURL  string `json:"controllerUrl,omitempty" doc:"with NOT_CONTROLLER: its admin port; also the header X-Controller-Url"`
	ControllerTerm *int64 `json:"controllerTerm,omitempty" doc:"with NOT_CONTROLLER: the term it was elected in"`
}

// Headers of answers.
const (
	HeaderLeader  = "X-Controller-Leader" // the node id of the active controller
	HeaderURL     = "X-Controller-Url"    // its admin port
	HeaderMessage = "X-Error-Message"
)

// Names of errors that Kafka has none for.
const (
	codeNotAvailable = "CONTROLLER_NOT_AVAILABLE"
	codeNotFound     = "NOT_FOUND"
	codeMethod       = "METHOD_NOT_ALLOWED"
	codeGone         = "GONE"
	codeOverloaded   = "OVERLOADED"
	codeForbidden    = "FORBIDDEN"
)

// failure is an error that knows how it is answered.
type failure struct {
	status     int
	body       Error
	retryAfter string // seconds; "" leaves the header out
	location   string
	allow      string
	answer     any // in place of body
}

// Error implements error.
func (f *failure) Error() string { return f.body.ErrorCode + ": " + f.body.Message }

func fail(status int, code, format string, args ...any) *failure {
	return &failure{status: status, body: Error{ErrorCode: code, Message: fmt.Sprintf(format, args...)}}
}

// errStarting is the answer of a node that does not know its cluster yet.
func errStarting() error {
	f := fail(http.StatusServiceUnavailable, codeNotAvailable, "the node is starting")
	f.retryAfter = "1"
	return f
}

func errOverloaded(what string) error {
	f := fail(http.StatusServiceUnavailable, codeOverloaded, "%s: try again", what)
	f.retryAfter = "1"
	return f
}

func invalid(format string, args ...any) error {
	return errcode.New(errcode.KindInvalidRequest, format, args...)
}

// kafkaError makes an error of a code and text in one of Kafka's answers; nil for none.
func kafkaError(code int16, text *string) error {
	if code == 0 {
		return nil
	}
	err := &errcode.Error{Kind: errcode.Kind(code)}
	if text != nil {
		err.Msg = *text
	}
	return err
}

// explain finds out how an error is answered. Those of other controllers are not for it: see redirect.
func explain(err error) *failure {
	if f := (*failure)(nil); errors.As(err, &f) {
		return f
	}
	kind := errcode.KindOf(err)
	f := fail(statusOf(kind), errcode.Name(int16(kind)), "%s", err)
	if f.status == http.StatusServiceUnavailable {
		f.retryAfter = "1"
	}
	return f
}

// statusOf is the HTTP status of a kind of error.
func statusOf(kind errcode.Kind) int {
	switch kind {
	case errcode.KindUnknown, errcode.KindKafkaStorageError, errcode.KindCorruptMessage, errcode.KindLogDirNotFound:
		return http.StatusInternalServerError
	case errcode.KindUnknownTopicOrPartition, errcode.KindUnknownTopicID, errcode.KindBrokerIDNotRegistered, errcode.KindResourceNotFound,
		errcode.KindGroupIDNotFound:
		return http.StatusNotFound
	case errcode.KindTopicAlreadyExists, errcode.KindDuplicateBrokerRegistration, errcode.KindDuplicateResource, errcode.KindStaleControllerEpoch,
		errcode.KindReassignmentInProgress:
		return http.StatusConflict
	case errcode.KindMessageTooLarge, errcode.KindRecordListTooLarge:
		return http.StatusRequestEntityTooLarge
	case errcode.KindThrottlingQuotaExceeded:
		return http.StatusTooManyRequests
	case errcode.KindRequestTimedOut:
		return http.StatusGatewayTimeout
	case errcode.KindLeaderNotAvailable, errcode.KindNotLeaderForPartition, errcode.KindBrokerNotAvailable, errcode.KindReplicaNotAvailable,
		errcode.KindNotEnoughReplicas, errcode.KindNotEnoughReplicasAfterAppend, errcode.KindNetworkException, errcode.KindOffsetNotAvailable,
		errcode.KindFencedLeaderEpoch, errcode.KindUnknownLeaderEpoch, errcode.KindStaleBrokerEpoch, errcode.KindCoordinatorNotAvailable,
		errcode.KindCoordinatorLoadInProgress, errcode.KindNotCoordinator:
		return http.StatusServiceUnavailable
	case errcode.KindTopicAuthorizationFailed, errcode.KindGroupAuthorizationFailed, errcode.KindClusterAuthorizationFailed:
		return http.StatusForbidden
	case errcode.KindSaslAuthenticationFailed:
		return http.StatusUnauthorized
	default:
		return http.StatusBadRequest
	}
}

// write answers with a failure.
func (f *failure) write(w http.ResponseWriter) {
	h := w.Header()
	h.Set(HeaderMessage, headerText(f.body.Message))
	if f.retryAfter != "" {
		h.Set("Retry-After", f.retryAfter)
	}
	if f.location != "" {
		h.Set("Location", f.location)
	}
	if f.allow != "" {
		h.Set("Allow", f.allow)
	}
	if f.body.ControllerID != nil {
		h.Set(HeaderLeader, strconv.Itoa(int(*f.body.ControllerID)))
	}
	if f.body.ControllerURL != "" {
		h.Set(HeaderURL, f.body.ControllerURL)
	}
	if f.answer != nil {
		writeJSON(w, f.status, f.answer)
		return
	}
	writeJSON(w, f.status, f.body)
}

func writeJSON(w http.ResponseWriter, status int, body any) {
	text, err := encode(body)
	if err != nil { // answers are plain data
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	send(w, status, text)
}

func encode(body any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	err := e.Encode(body)
	return b.Bytes(), err
}

func send(w http.ResponseWriter, status int, text []byte) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.Header().Set("Content-Length", strconv.Itoa(len(text)))
	w.WriteHeader(status)
	_, _ = w.Write(text) // the peer may be gone
}

// shownMost is how much of a text that may be anything is shown.
const shownMost = 200

// short cuts a text.
func short(s string) string {
	runes := []rune(s)
	if len(runes) <= shownMost {
		return s
	}
	return string(runes[:shownMost]) + "…"
}

// headerText is a text that may stand in a header: printable ASCII, and not long.
func headerText(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return '?'
		}
		return r
	}, strings.TrimSuffix(short(s), "…"))
}
