// Package admin serves HTTP on the admin port: health, metrics, what is known of groups, the REST of package api and, in later
// issues, the UI.
//
// It owns its HTTP server and nothing else. What it shows comes through small interfaces declared here; it never imports
// broker. Life: New → Start (binds and serves) → Close, which joins the server's goroutine.
//
// Health follows Kubernetes: /livez says that the process answers, /readyz that clients are served. Neither needs
// authentication nor shows a secret. An unknown path is a JSON 404.
//
// Below /v1 answers are JSON in snake_case whose arrays are never null and whose times are RFC 3339; errors are
// application/problem+json, with Kafka's name of the error and what to do next. A node tells of the groups that it
// coordinates; of another's it answers 503 and names that node.
package admin
