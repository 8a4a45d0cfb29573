package api

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/distributedmq/dmq/protocol/errcode"
)

// route is one endpoint. The table of them is what is served and what the document describes.
type route struct {
	method, path string
	id           string // operationId of the document
	summary      string
	leader       bool // only the active controller answers
	broker       bool // only a node that is a broker answers
	heavy        bool // the answer may be large: few are made at a time
	query        []parameter
	timeout      time.Duration // 0: readTimeout
	limit        int64         // of the body; 0: bodyMost
	body         any           // a request, for the document; nil: there is none
	optional     bool          // the body may be left out
	status       int           // of success; 0: 200
	answer       any           // an answer, for the document; nil: there is none
	failures     []int         // other statuses than those that every endpoint may answer with
	serve        func(ctx context.Context, r *http.Request, body []byte) (any, error)
}

// parameter is one of the query.
type parameter struct {
	name, doc string
	kind      any // a value of its type
}

const (
	readTimeout  = 10 * time.Second
	writeTimeout = 30 * time.Second
)

// get makes the serve function of an endpoint without a body.
func get(serve func(ctx context.Context, r *http.Request) (any, error)) func(context.Context, *http.Request, []byte) (any, error) {
	return func(ctx context.Context, r *http.Request, _ []byte) (any, error) { return serve(ctx, r) }
}

// typed makes the serve function of an endpoint whose body is a Q.
func typed[Q any](serve func(ctx context.Context, r *http.Request, q *Q) (any, error)) func(context.Context, *http.Request, []byte) (any, error) {
	return func(ctx context.Context, r *http.Request, body []byte) (any, error) {
		q := new(Q)
		if len(body) > 0 {
			if err := decode(body, q); err != nil {
				return nil, err
			}
		}
		return serve(ctx, r, q)
	}
}

func (a *API) routes() []route {
	return slices.Concat(a.controllerRoutes(), a.heartbeatRoutes(), a.brokerRoutes(), a.topicRoutes(), a.clusterRoutes(), a.raftRoutes(), a.storageRoutes(), a.messageRoutes())
}

func (a *API) mux() http.Handler {
	mux := http.NewServeMux()
	for _, rt := range a.routes() {
		mux.Handle(rt.method+" "+Prefix+rt.path, a.endpoint(rt))
	}
	document := a.document()
	mux.HandleFunc("GET "+Prefix+"/openapi.json", func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, http.StatusOK, document) })
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		if allowed := methods(mux, r); len(allowed) > 0 {
			f := fail(http.StatusMethodNotAllowed, codeMethod, "%s is not one of %s", short(r.Method), strings.Join(allowed, ", "))
			f.allow = strings.Join(allowed, ", ")
			f.write(w)
			return
		}
		fail(http.StatusNotFound, codeNotFound, "there is nothing at %s; %s/openapi.json lists what there is", short(r.URL.Path), Prefix).write(w)
	})
	return mux
}

// methods are those that a path is served with.
func methods(mux *http.ServeMux, r *http.Request) []string {
	var out []string
	for _, method := range []string{http.MethodGet, http.MethodPost, http.MethodDelete} {
		other := *r
		other.Method = method
		if _, pattern := mux.Handler(&other); pattern != "/" && pattern != "" {
			out = append(out, method)
		}
	}
	return out
}

// endpoint serves one route: it reads the body, checks who has to answer, and writes the answer.
func (a *API) endpoint(rt route) http.Handler {
	if rt.timeout == 0 {
		rt.timeout = readTimeout
	}
	if rt.limit == 0 {
		rt.limit = bodyMost
	}
	if rt.status == 0 {
		rt.status = http.StatusOK
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), rt.timeout)
		defer cancel()
		text, err := a.run(ctx, w, r, &rt)
		switch size := int64(len(text)); {
		case err != nil:
			a.refuse(w, r, err)
		case rt.answer == nil:
			w.Header().Set("Cache-Control", "no-store")
			w.WriteHeader(rt.status)
		case size <= sendingLeast:
			send(w, rt.status, text)
		case a.sending.takeOne(size):
			defer a.sending.give(size)
			send(w, rt.status, text)
		default:
			a.refuse(w, r, errOverloaded("too much is being sent at a time"))
		}
	})
}

// encoded is an answer that is JSON already.
type encoded []byte

// turn waits for the turn to make an answer that takes much memory: few are made at a time. done ends it.
func (a *API) turn(ctx context.Context) (done func(), err error) {
	select {
	case a.heavy <- struct{}{}:
		return func() { <-a.heavy }, nil
	case <-ctx.Done():
		return nil, errOverloaded("too many large answers are being made")
	}
}

// run finds the answer to a request, as JSON.
func (a *API) run(ctx context.Context, w http.ResponseWriter, r *http.Request, rt *route) ([]byte, error) {
	if rt.broker && a.o.Broker == nil {
		return nil, fail(http.StatusNotFound, errcode.Name(int16(errcode.KindBrokerNotAvailable)), "node %d is no broker", a.o.Cluster.NodeID())
	}
	var body []byte
	if rt.body != nil {
		read, done, err := a.bodies.read(w, r, rt.limit)
		defer done()
		if err != nil {
			return nil, err
		}
		if body = read; len(body) == 0 && !rt.optional {
			return nil, invalid("the body is empty; a JSON object is needed")
		}
	}
	if rt.leader {
		if err := a.verifyLeader(ctx); err != nil {
			return nil, err
		}
	}
	if rt.heavy {
		done, err := a.turn(ctx)
		if err != nil {
			return nil, err
		}
		defer done()
	}
	answer, err := rt.serve(ctx, r, body)
	if err != nil {
		return nil, err
	}
	if text, ok := answer.(encoded); ok {
		return text, nil
	}
	return encode(answer)
}

// refuse answers a request that failed.
func (a *API) refuse(w http.ResponseWriter, r *http.Request, err error) {
	var f *failure
	if !errors.As(err, &f) && errcode.KindOf(err) == errcode.KindNotController {
		f = a.redirect()
	}
	if f == nil {
		f = explain(err)
	}
	if f.status == http.StatusInternalServerError {
		a.o.Logger.ErrorContext(r.Context(), "request to the admin port failed", slog.String("event", "admin.failed"),
			slog.String("method", r.Method), slog.String("path", short(r.URL.Path)), slog.Any("err", err))
	}
	f.write(w)
}
