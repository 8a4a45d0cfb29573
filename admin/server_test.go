package admin_test

import (
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/distributedmq/dmq/admin"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func start(t *testing.T, checks ...admin.Check) string {
	t.Helper()
	s := admin.New(admin.Options{
		Address: "127.0.0.1:0",
		Checks:  checks,
		Metrics: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "dmq_ready 1\n") }),
		Listen:  new(net.ListenConfig).Listen,
		Logger:  slog.New(slog.DiscardHandler),
	})
	if err := s.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return "http://" + s.Addr().String()
}

func TestServer_Health(t *testing.T) {
	failing := errors.New("no leader")
	url := start(t, admin.Check{Name: "quorum", Check: func() error { return failing }}, admin.Check{Name: "listeners", Check: func() error { return nil }})
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	for _, tc := range []struct {
		name, path, method string
		status             int
		body               string
	}{
		{"alive while not ready", "/livez", "GET", 200, "ok"},
		{"not ready says why", "/readyz", "GET", 503, "[-] quorum: no leader"},
		{"verbose lists what holds too", "/readyz?verbose", "GET", 503, "[+] listeners ok"},
		{"an excluded check does not count", "/readyz?exclude=quorum", "GET", 200, "ok"},
		{"one check", "/readyz/listeners", "GET", 200, "[+] listeners ok"},
		{"one failing check", "/readyz/quorum", "GET", 503, "no leader"},
		{"an unknown check", "/readyz/nothing", "GET", 404, `"status":404`},
		{"alias", "/ready", "GET", 503, "quorum"},
		{"metrics", "/metrics", "GET", 200, "dmq_ready 1"},
		{"unknown path", "/../../etc/passwd", "GET", 404, "there is nothing at"},
		{"wrong method", "/livez", "POST", 404, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			req, err := http.NewRequestWithContext(t.Context(), tc.method, url+tc.path, nil)
			if err != nil {
				t.Fatal(err)
			}
			resp, err := client.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			body, err := io.ReadAll(resp.Body)
			if err != nil {
				t.Fatal(err)
			}
			if resp.StatusCode != tc.status || !strings.Contains(string(body), tc.body) {
				t.Errorf("%s %s: got %d %q, want %d with %q", tc.method, tc.path, resp.StatusCode, body, tc.status, tc.body)
			}
		})
	}
}

func TestServer_AddressInUse(t *testing.T) {
	url := start(t)
	s := admin.New(admin.Options{Address: strings.TrimPrefix(url, "http://"), Listen: new(net.ListenConfig).Listen, Logger: slog.New(slog.DiscardHandler)})
	err := s.Start(t.Context())
	if err == nil || !strings.Contains(err.Error(), "dmq.admin.listen") {
		t.Fatalf("got %v, want an error that names the property", err)
	}
}
