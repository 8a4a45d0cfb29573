package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

// defaultAdminURL is where a node's admin port is unless configured otherwise.
const defaultAdminURL = "http://127.0.0.1:9091"

// maxAdminAnswer bounds what is read from an admin port.
const maxAdminAnswer = 16 << 20

type groupTimeline struct {
	Group  string       `json:"group"`
	Events []groupEvent `json:"events"`
}

type groupEvent struct {
	Time        time.Time `json:"time"`
	Kind        string    `json:"kind"`
	Epoch       int32     `json:"epoch"` // the generation or group epoch after it
	MemberID    string    `json:"member_id"`
	InstanceID  string    `json:"instance_id"`
	ClientID    string    `json:"client_id"`
	Reason      string    `json:"reason"`
	TookSeconds float64   `json:"took_seconds"`
}

func newGroupTimeline(a *app) *cobra.Command {
	var adminURL string
	def := a.lookup("DMQ_ADMIN_URL")
	if def == "" {
		def = defaultAdminURL
	}
	cmd := &cobra.Command{
		Use: "timeline GROUP", Short: "Show who joined, left and was fenced, and why the group rebalanced",
		Long: `Show the latest events of a group, the oldest first: who joined, left or was fenced, why each rebalance began and how long it
took. The node that coordinates the group remembers them in memory; they begin anew when the group moves or the node is
restarted. It is asked on its admin port.`,
		Example: "  dmq group timeline billing\n  dmq group timeline billing --admin-url http://10.0.0.7:9091 -o json",
		Args:    args(1, 1, "the name of a group"), ValidArgsFunction: a.groupCompletion(1),
		RunE: func(cmd *cobra.Command, names []string) error {
			var t groupTimeline
			if err := a.fromAdmin(cmd.Context(), adminURL, "/v1/groups/"+url.PathEscape(names[0])+"/timeline", &t); err != nil {
				return a.suggestGroup(cmd.Context(), adminURL, names[0], err)
			}
			return a.print(timelineResult(t, time.Now()))
		},
	}
	cmd.Flags().StringVar(&adminURL, "admin-url", def, "the admin port of the node that coordinates the group (environment: DMQ_ADMIN_URL)")
	return cmd
}

// suggestGroup adds the group that may be meant, where the failure is that there is none.
func (a *app) suggestGroup(ctx context.Context, adminURL, name string, err error) error {
	f := explain(err)
	if f.code != codeNotFound {
		return err
	}
	var list struct {
		Groups []struct{ Name string }
	}
	if a.fromAdmin(ctx, adminURL, "/v1/groups", &list) != nil {
		return err // without a hint
	}
	var names []string
	for _, g := range list.Groups {
		names = append(names, g.Name)
	}
	if near := nearest(name, names); near != "" {
		f.next = fmt.Sprintf("Did you mean %q?   %s", near, f.next)
	}
	return f
}

func timelineResult(t groupTimeline, now time.Time) result {
	layout := "15:04:05.000"
	if len(t.Events) > 0 && now.Sub(t.Events[0].Time) >= 12*time.Hour {
		layout = "2006-01-02 15:04:05.000"
	}
	g := grid{header: []string{"TIME", "EVENT", "MEMBER", "EPOCH", "TOOK", "WHY", "MEMBER-ID"}, wide: 6, numeric: []int{3, 4}}
	r := result{value: t}
	for _, e := range t.Events {
		took := ""
		if e.TookSeconds > 0 {
			took = time.Duration(e.TookSeconds * float64(time.Second)).Round(time.Millisecond).String()
		}
		r.names = append(r.names, e.Kind)
		g.rows = append(g.rows, []any{e.Time.Local().Format(layout), e.Kind, orDash(e.who()), e.Epoch, took, e.Reason, orDash(e.MemberID)})
	}
	r.table = []grid{g}
	return r
}

// who is the member in short.
func (e groupEvent) who() string {
	m := []describedMember{{MemberID: e.MemberID, ClientID: e.ClientID}, {ClientID: e.ClientID}} // as if there were another of its client id
	if e.InstanceID != "" {
		return e.InstanceID
	}
	if e.MemberID == "" {
		return ""
	}
	label(m)
	return m[0].label
}

// adminFault is how an admin port says that something is wrong (RFC 9457).
type adminFault struct {
	Title      string `json:"title"`
	Detail     string `json:"detail"`
	KafkaError string `json:"kafka_error"`
	Next       string `json:"next"`
}

// fromAdmin asks an admin port.
func (a *app) fromAdmin(ctx context.Context, base, path string, answer any) error {
	u, err := url.Parse(base)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return usage("write --admin-url http://host:9091", "%q is not the URL of an admin port", base)
	}
	ctx, cancel := context.WithTimeout(ctx, time.Duration(a.timeout))
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimRight(u.String(), "/")+path, nil)
	if err != nil {
		return usage("write --admin-url http://host:9091", "%s", err)
	}
	transport := &http.Transport{Proxy: http.ProxyFromEnvironment, DialContext: (&net.Dialer{Timeout: min(connectTimeout, time.Duration(a.timeout))}).DialContext, DisableKeepAlives: true}
	resp, err := (&http.Client{Transport: transport}).Do(req)
	if err != nil {
		return adminUnreachable(ctx, u, err)
	}
	defer func() { _ = resp.Body.Close() }() // it was only read
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAdminAnswer))
	if err != nil {
		return adminUnreachable(ctx, u, err)
	}
	if resp.StatusCode != http.StatusOK {
		return adminProblem(u, resp.StatusCode, body)
	}
	if err := json.Unmarshal(body, answer); err != nil {
		return &failure{code: codeFailed, what: fmt.Sprintf("%s is not the admin port of a dmq node", u), why: err.Error(), next: "Name it: --admin-url http://host:9091, or DMQ_ADMIN_URL", cause: err}
	}
	return nil
}

func adminUnreachable(ctx context.Context, u *url.URL, err error) error {
	if errors.Is(ctx.Err(), context.Canceled) {
		return ctx.Err()
	}
	why := err.Error()
	if op, ok := errors.AsType[*net.OpError](err); ok {
		why = op.Err.Error()
	}
	return &failure{code: codeUnreachable, what: fmt.Sprintf("cannot reach the admin port %s", u), why: why, next: "Name it: --admin-url http://host:9091, or DMQ_ADMIN_URL", cause: err}
}

// adminProblem words an answer other than 200.
func adminProblem(u *url.URL, status int, body []byte) error {
	var p adminFault
	if err := json.Unmarshal(body, &p); err != nil || p.Detail == "" {
		return &failure{code: codeFailed, what: fmt.Sprintf("%s answered %d %s", u, status, http.StatusText(status)), next: "Name a dmq node's admin port: --admin-url http://host:9091, or DMQ_ADMIN_URL"}
	}
	f := &failure{code: codeFailed, kafka: p.KafkaError, what: p.Detail, next: p.Next}
	switch status {
	case http.StatusNotFound:
		f.code = codeNotFound
	case http.StatusBadRequest:
		f.code = codeUsage
	case http.StatusServiceUnavailable:
		f.code = codeUnreachable
	}
	return f
}
