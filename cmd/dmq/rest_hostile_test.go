package main

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/distributedmq/dmq/admin/api"
)

// dial opens a connection to the admin port.
func (n *restNode) dial() net.Conn {
	n.t.Helper()
	nc, err := new(net.Dialer).DialContext(n.t.Context(), "tcp", strings.TrimPrefix(n.url, "http://"))
	if err != nil {
		n.t.Fatal(err)
	}
	n.t.Cleanup(func() { _ = nc.Close() })
	if err := nc.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		n.t.Fatal(err)
	}
	return nc
}

// raw sends bytes and returns what comes back until the other side closes, or a first answer.
func (n *restNode) raw(request string) (status int, body string) {
	n.t.Helper()
	nc := n.dial()
	defer nc.Close()
	if _, err := io.WriteString(nc, request); err != nil {
		n.t.Fatal(err)
	}
	resp, err := http.ReadResponse(bufio.NewReader(nc), nil)
	if err != nil {
		return 0, ""
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, syscall.ECONNRESET) {
		n.t.Error(err)
	}
	return resp.StatusCode, string(text)
}

// What is no request of ours is refused in words, and nothing of it is carried out.
func TestREST_Hostile(t *testing.T) {
	n := startRESTNode(t)
	const host = " HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
	for _, tt := range []struct {
		name, request string
		statuses      []int // 0: the connection is closed without an answer
	}{
		{"no HTTP", "hello\r\n\r\n", []int{400}},
		{"a Kafka request", "\x00\x00\x00\x10\x00\x12\x00\x00\x00\x00\x00\x01\x00\x04test\x00\x00\r\n\r\n", []int{400}},
		{"a header without an end", "GET /api/v1/raft/status HTTP/1.1\r\nHost: x\r\nX: " + strings.Repeat("x", 100_000), []int{431}},
		{"too many headers", "GET /api/v1/raft/status HTTP/1.1\r\nHost: x\r\n" + strings.Repeat("X-A: b\r\n", 20_000) + "\r\n", []int{431}},
		{"two lengths", "POST /api/v1/metadata/topics" + host + "Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}", []int{400}},
		{"a length and chunks", "POST /api/v1/metadata/topics" + host + "Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n", []int{400}},
		{"a negative length", "POST /api/v1/metadata/topics" + host + "Content-Length: -1\r\n\r\n", []int{400}},
		{"a length that is a lie", "POST /api/v1/metadata/topics" + host + "Content-Length: 99999999999\r\n\r\n" + strings.Repeat(" ", 100_000), []int{413, 0}},
		{"a chunk that is a lie", "POST /api/v1/metadata/topics" + host + "Transfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n", []int{400, 408, 413}},
		{"chunks without an end", "POST /api/v1/metadata/topics" + host + "Transfer-Encoding: chunked\r\n\r\n" + strings.Repeat("4000\r\n"+strings.Repeat(" ", 0x4000)+"\r\n", 6), []int{413, 0}},
		{"a path above", "GET /api/v1/../../../../etc/passwd" + host + "\r\n", []int{307, 404}},
		{"an escaped path above", "GET /api/v1/metadata/topics/%2e%2e%2f%2e%2e%2fetc%2fpasswd" + host + "\r\n", []int{404}},
		{"a path with a null byte", "GET /api/v1/metadata/topics/a%00b" + host + "\r\n", []int{404}},
		{"a path that is not escaped well", "GET /api/v1/metadata/topics/%zz" + host + "\r\n", []int{400}},
		{"slashes", "GET //api//v1///raft/status" + host + "\r\n", []int{307, 404}},
		{"a backslash", "GET /api/v1\\..\\..\\etc" + host + "\r\n", []int{404}},
		{"an absolute target", "GET http://other/api/v1/raft/status" + host + "\r\n", []int{200}},
		{"CONNECT", "CONNECT other:443 HTTP/1.1\r\nHost: other:443\r\nConnection: close\r\n\r\n", []int{404, 405}},
		{"TRACE", "TRACE /api/v1/raft/status" + host + "\r\n", []int{405}},
		{"no host", "GET /api/v1/raft/status HTTP/1.1\r\nConnection: close\r\n\r\n", []int{400}},
		{"HTTP/2 without an upgrade", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", []int{400, 404, 505, 0}},
		{"a long query", "GET /api/v1/raft/status?" + strings.Repeat("a=b&", 10_000) + host + "\r\n", []int{200}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			status, body := n.raw(tt.request)
			ok := false
			for _, s := range tt.statuses {
				ok = ok || s == status
			}
			if !ok || len(body) > 5000 || strings.Contains(body, "root:") {
				t.Errorf("got %d %.300q, want one of %v", status, body, tt.statuses)
			}
		})
	}
	if topics := got[[]string](t, n.call(http.MethodGet, "/metadata/topics", ""), http.StatusOK); len(topics) != 0 {
		t.Errorf("topics came to be: %v", topics)
	}
}

// Who sends a body slowly is cut off, and nobody waits for it.
func TestREST_SlowBodies(t *testing.T) {
	t.Parallel()
	n := startRESTNode(t)
	var slow []net.Conn
	for range 50 {
		nc := n.dial()
		if _, err := io.WriteString(nc, "POST /api/v1/storage/messages HTTP/1.1\r\nHost: x\r\nContent-Length: 16000000\r\n\r\n{\"topic\":\""); err != nil {
			t.Fatal(err)
		}
		slow = append(slow, nc)
	}
	n.call(http.MethodPost, "/metadata/topics", `{"topicName":"t"}`)
	got[api.ProduceAnswer](t, n.call(http.MethodPost, "/storage/messages", `{"topic":"t","messages":[{"value":"dg=="}]}`), http.StatusOK)
	for _, nc := range slow {
		resp, err := http.ReadResponse(bufio.NewReader(nc), nil)
		if err != nil {
			continue // closed
		}
		if resp.StatusCode != http.StatusRequestTimeout {
			t.Errorf("got %d, want 408", resp.StatusCode)
		}
		_ = resp.Body.Close()
	}
}

// Large bodies, many at a time, are refused before they fill the memory; every answer is clear.
func TestREST_ManyLargeBodies(t *testing.T) {
	n := startRESTNode(t)
	n.call(http.MethodPost, "/metadata/topics", `{"topicName":"t"}`)
	body := `{"topic":"t","messages":[{"value":"` + strings.Repeat("AAAA", 15<<20/4) + `"}]}`
	var mu sync.Mutex
	seen := map[int]int{}
	var asking sync.WaitGroup
	for range 20 {
		asking.Go(func() {
			r, err := n.try(t.Context(), http.MethodPost, "/storage/messages", body)
			mu.Lock()
			defer mu.Unlock()
			if err != nil { // refused while it was still being sent
				seen[0]++
				return
			}
			seen[r.StatusCode]++
			if r.StatusCode == http.StatusServiceUnavailable && r.Header.Get("Retry-After") == "" {
				t.Errorf("no Retry-After: %s", r.text)
			}
		})
	}
	asking.Wait()
	expected := []int{0, http.StatusRequestEntityTooLarge, http.StatusServiceUnavailable, http.StatusRequestTimeout} // the last on a slow machine
	for status := range seen {
		if !slices.Contains(expected, status) {
			t.Errorf("got %v, want no status but %v", seen, expected)
		}
	}
	if r := n.call(http.MethodPost, "/storage/messages", `{"topic":"t","messages":[{"value":"dg=="}]}`); r.StatusCode != http.StatusOK {
		t.Errorf("afterwards: got %d %s", r.StatusCode, r.text)
	}
}

// A thousand connections that say nothing, and as many that have said something once, keep nobody out.
func TestREST_IdleConnections(t *testing.T) {
	n := startRESTNode(t)
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	for i := range 1100 {
		nc := n.dial()
		if i%2 == 0 {
			continue
		}
		if _, err := io.WriteString(nc, "GET /livez HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		resp, err := http.ReadResponse(bufio.NewReader(nc), nil)
		if err != nil {
			t.Fatalf("connection %d: %v", i, err)
		}
		_ = resp.Body.Close()
	}
	for range 20 { // each over a connection of its own
		fresh := *n
		fresh.client = &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: time.Minute}
		if r := fresh.call(http.MethodGet, "/raft/status", ""); r.StatusCode != http.StatusOK {
			t.Fatalf("got %d", r.StatusCode)
		}
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	if grown := int64(after.HeapAlloc) - int64(before.HeapAlloc); grown > 64<<20 {
		t.Errorf("1,100 idle connections hold %d MiB", grown>>20)
	}
}

// The text of an error never carries what a client sent into a header as it was.
func TestREST_HeadersAreClean(t *testing.T) {
	n := startRESTNode(t)
	nc := n.dial()
	if _, err := io.WriteString(nc, "GET /api/v1/metadata/topics/a%0d%0aX-Evil:%201%0d%0a%0d%0abody%c3%a9 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(nc)
	if err != nil {
		t.Fatal(err)
	}
	head, _, _ := bytes.Cut(text, []byte("\r\n\r\n"))
	if bytes.Contains(head, []byte("\nX-Evil")) || !bytes.Contains(head, []byte("X-Error-Message: ")) {
		t.Errorf("got %q", head)
	}
	for _, b := range head {
		if b > 126 {
			t.Errorf("byte %d in %q", b, head)
		}
	}
}
