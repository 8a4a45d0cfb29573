package client_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/distributedmq/dmq/admin/api"
	"github.com/distributedmq/dmq/admin/client"
)

// fakeNodes answers for nodes by the name of their host, without a network.
type fakeNodes struct {
	answer func(host, method, path string, n int) (status int, body any, err error) // n counts the requests of a host

	mu    sync.Mutex // guards the fields below
	asked []string   // when, method, host and path
	count map[string]int
	start time.Time
}

func (f *fakeNodes) RoundTrip(req *http.Request) (*http.Response, error) {
	f.mu.Lock()
	if f.count == nil {
		f.count, f.start = make(map[string]int), time.Now()
	}
	n := f.count[req.URL.Host]
	f.count[req.URL.Host]++
	path := strings.TrimPrefix(req.URL.Path, "/api/v1")
	f.asked = append(f.asked, fmt.Sprintf("%v %s %s%s", time.Since(f.start).Round(time.Millisecond), req.Method, req.URL.Hostname(), path))
	f.mu.Unlock()
	if req.Body != nil {
		_, _ = io.Copy(io.Discard, req.Body)
	}
	status, body, err := f.answer(req.URL.Hostname(), req.Method, path, n)
	if errors.Is(err, errSilent) {
		<-req.Context().Done()
		return nil, req.Context().Err()
	}
	if err != nil {
		return nil, err
	}
	text, err := json.Marshal(body)
	if err != nil {
		return nil, err
	}
	resp := &http.Response{StatusCode: status, Status: http.StatusText(status), Header: http.Header{}, Body: io.NopCloser(strings.NewReader(string(text))), Request: req}
	if location, ok := body.(string); ok && status == http.StatusTemporaryRedirect {
		resp.Header.Set("Location", location)
	}
	return resp, nil
}

var (
	errSilent  = errors.New("no answer ever")
	errRefused = &net.OpError{Op: "dial", Net: "tcp", Err: syscall.ECONNREFUSED}
	errReset   = &net.OpError{Op: "read", Net: "tcp", Err: syscall.ECONNRESET}
)

func controller(id int32, host string, term int64) api.Controller {
	return api.Controller{ControllerID: id, ControllerURL: "http://" + host + ":9091", ControllerTerm: term}
}

func redirect(id int32, host string, term int64) (int, any, error) {
	e := api.Error{ErrorCode: "NOT_CONTROLLER", ControllerID: &id, ControllerTerm: &term, ControllerURL: "http://" + host + ":9091", Message: "ask " + host}
	return http.StatusServiceUnavailable, e, nil
}

func leaderless() (int, any, error) {
	return http.StatusServiceUnavailable, api.Error{ErrorCode: "CONTROLLER_NOT_AVAILABLE", Message: "wait"}, nil
}

// bubble runs a test in fake time, with a client of nodes a, b and c.
func bubble(t *testing.T, answer func(host, method, path string, n int) (int, any, error), test func(t *testing.T, f *fakeNodes, c *client.Client)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		f := &fakeNodes{answer: answer}
		c, err := client.New(client.Options{Nodes: []string{"a:9091", "http://b:9091", "https://c:9091/ignored"}, HTTP: &http.Client{Transport: f}})
		if err != nil {
			t.Fatal(err)
		}
		test(t, f, c)
	})
}

func TestNew_Refuses(t *testing.T) {
	for _, nodes := range [][]string{nil, {""}, {"ftp://a"}, {"http://"}, {"http://a b"}} {
		if _, err := client.New(client.Options{Nodes: nodes}); err == nil {
			t.Errorf("%q: taken", nodes)
		}
	}
}

// The first good answer counts; a node that is slow, gone or knows nothing does not hold it up.
func TestDiscover(t *testing.T) {
	bubble(t, func(host, _, _ string, _ int) (int, any, error) {
		switch host {
		case "a":
			return 0, nil, errSilent
		case "b":
			return leaderless()
		default:
			time.Sleep(30 * time.Millisecond)
			return 200, controller(3, "c", 7), nil
		}
	}, func(t *testing.T, f *fakeNodes, c *client.Client) {
		start := time.Now()
		found, err := c.Discover(t.Context())
		if err != nil || found.ControllerID != 3 || time.Since(start) != 30*time.Millisecond {
			t.Errorf("got %+v after %v, %v", found, time.Since(start), err)
		}
		slices.Sort(f.asked)
		if want := []string{"0s GET a/metadata/controller", "0s GET b/metadata/controller", "0s GET c/metadata/controller"}; !slices.Equal(f.asked, want) {
			t.Errorf("got %v, want all at once", f.asked)
		}
	})
}

func TestDiscover_Backoff(t *testing.T) {
	bubble(t, func(host, _, _ string, n int) (int, any, error) {
		if host == "b" && n == 6 {
			return 200, controller(2, "b", 1), nil
		}
		return 0, nil, errRefused
	}, func(t *testing.T, f *fakeNodes, c *client.Client) {
		if found, err := c.Discover(t.Context()); err != nil || found.ControllerID != 2 {
			t.Fatalf("got %+v, %v", found, err)
		}
		var rounds []string
		for _, asked := range f.asked {
			if strings.Contains(asked, " a/") {
				rounds = append(rounds, strings.Fields(asked)[0])
			}
		}
		if want := []string{"0s", "1s", "3s", "7s", "15s", "23s", "31s"}; !slices.Equal(rounds, want) {
			t.Errorf("got %v, want %v", rounds, want)
		}
	})
}

func TestDiscover_GivesUp(t *testing.T) {
	bubble(t, func(string, string, string, int) (int, any, error) { return 0, nil, errRefused }, func(t *testing.T, _ *fakeNodes, c *client.Client) {
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		if _, err := c.Discover(ctx); !errors.As(err, new(*client.UnreachableError)) || !strings.Contains(err.Error(), "http://a:9091") {
			t.Errorf("got %v", err)
		}
	})
}

func TestLead(t *testing.T) {
	for _, tt := range []struct {
		name   string
		answer func(host, method, path string, n int) (int, any, error)
		want   []string // of what is no discovery
		err    string
	}{
		{
			"a node directs to the controller",
			func(host, method, _ string, _ int) (int, any, error) {
				switch {
				case method == http.MethodGet:
					return 200, controller(1, "a", 1), nil // which is not true any more
				case host == "a":
					return redirect(2, "b", 2)
				default:
					return 200, map[string]int{"ok": 1}, nil
				}
			},
			[]string{"POST a/x", "POST b/x"},
			"",
		},
		{
			"none is active for a moment",
			func(_, method, _ string, n int) (int, any, error) {
				switch {
				case method == http.MethodGet:
					return 200, controller(1, "a", 1), nil
				case n < 3:
					return leaderless()
				default:
					return 200, map[string]int{"ok": 1}, nil
				}
			},
			[]string{"POST a/x", "POST a/x"},
			"",
		},
		{
			"the controller is gone, and another is elected",
			func(host, method, _ string, n int) (int, any, error) {
				switch {
				case host == "a" && n > 0:
					return 0, nil, errRefused
				case method == http.MethodGet && host == "a":
					return 200, controller(1, "a", 1), nil
				case method == http.MethodGet && n > 1:
					return 200, controller(2, "b", 2), nil
				case method == http.MethodGet:
					time.Sleep(time.Second)
					return leaderless()
				default:
					return 200, map[string]int{"ok": 1}, nil
				}
			},
			[]string{"POST a/x", "POST b/x"},
			"",
		},
		{
			"it answers, and the answer is lost: nobody knows, so it is not sent again",
			func(_, method, _ string, _ int) (int, any, error) {
				if method == http.MethodGet {
					return 200, controller(1, "a", 1), nil
				}
				return 0, nil, errReset
			},
			[]string{"POST a/x"},
			"whether it was carried out is not known",
		},
		{
			"a refusal is final",
			func(_, method, _ string, _ int) (int, any, error) {
				if method == http.MethodGet {
					return 200, controller(1, "a", 1), nil
				}
				return 409, api.Error{ErrorCode: "TOPIC_ALREADY_EXISTS", Message: "it exists"}, nil
			},
			[]string{"POST a/x"},
			"it exists",
		},
		{
			"what is none of ours",
			func(_, method, _ string, _ int) (int, any, error) {
				if method == http.MethodGet {
					return 200, controller(1, "a", 1), nil
				}
				return 502, "<html>", nil
			},
			[]string{"POST a/x"},
			"Bad Gateway",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			bubble(t, tt.answer, func(t *testing.T, f *fakeNodes, c *client.Client) {
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				var out map[string]int
				err := c.Lead(ctx, http.MethodPost, "/x", struct{}{}, &out)
				switch {
				case tt.err == "" && (err != nil || out["ok"] != 1):
					t.Errorf("got %v, %v", out, err)
				case tt.err != "" && (err == nil || !strings.Contains(err.Error(), tt.err)):
					t.Errorf("got %v, want %s", err, tt.err)
				}
				var posts []string
				for _, asked := range f.asked {
					if strings.Contains(asked, "POST") {
						posts = append(posts, asked[strings.Index(asked, " ")+1:])
					}
				}
				if !slices.Equal(posts, tt.want) {
					t.Errorf("got %v, want %v", posts, tt.want)
				}
			})
		})
	}
}

func TestLead_EndsWithItsContext(t *testing.T) {
	bubble(t, func(_, method, _ string, _ int) (int, any, error) {
		if method == http.MethodGet {
			return 200, controller(1, "a", 1), nil
		}
		return leaderless()
	}, func(t *testing.T, _ *fakeNodes, c *client.Client) {
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		var refused *client.Error
		if err := c.Lead(ctx, http.MethodPost, "/x", nil, nil); !errors.As(err, &refused) || refused.Body.ErrorCode != "CONTROLLER_NOT_AVAILABLE" {
			t.Errorf("got %v", err)
		}
	})
}

// Any goes to the next node while one cannot be reached, and follows to the leader of a partition.
func TestAny(t *testing.T) {
	bubble(t, func(host, _, _ string, _ int) (int, any, error) {
		switch host {
		case "a":
			return 0, nil, errRefused
		case "b":
			return http.StatusTemporaryRedirect, "http://d:9091/api/v1/storage/messages", nil
		default:
			return 200, map[string]int{"ok": 1}, nil
		}
	}, func(t *testing.T, f *fakeNodes, c *client.Client) {
		var out map[string]int
		for range 2 {
			if err := c.Any(t.Context(), http.MethodPost, "/storage/messages", struct{}{}, &out); err != nil || out["ok"] != 1 {
				t.Fatalf("got %v, %v", out, err)
			}
		}
		want := []string{"0s POST a/storage/messages", "0s POST b/storage/messages", "0s POST d/storage/messages", "0s POST b/storage/messages", "0s POST d/storage/messages"}
		if !slices.Equal(f.asked, want) {
			t.Errorf("got %v, want %v: the node that answered is asked first", f.asked, want)
		}
	})
	bubble(t, func(string, string, string, int) (int, any, error) {
		return http.StatusTemporaryRedirect, "http://a:9091/x", nil
	}, func(t *testing.T, _ *fakeNodes, c *client.Client) {
		if err := c.Any(t.Context(), http.MethodPost, "/x", nil, nil); err == nil || !strings.Contains(err.Error(), "again and again") {
			t.Errorf("got %v", err)
		}
	})
	bubble(t, func(string, string, string, int) (int, any, error) { return 0, nil, errRefused }, func(t *testing.T, _ *fakeNodes, c *client.Client) {
		if err := c.Any(t.Context(), http.MethodGet, "/x", nil, nil); !errors.As(err, new(*client.UnreachableError)) {
			t.Errorf("got %v", err)
		}
	})
}
