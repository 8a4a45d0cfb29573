// Package admin serves HTTP on the admin port: health, metrics and, in later issues, REST and the UI.
//
// It owns its HTTP server and nothing else. What it shows comes through small interfaces declared here; it never imports
// broker. Life: New → Start (binds and serves) → Close, which joins the server's goroutine.
//
// Health follows Kubernetes: /livez says that the process answers, /readyz that clients are served. Neither needs
// authentication nor shows a secret. An unknown path is a JSON 404.
package admin
