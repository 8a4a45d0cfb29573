package main

import (
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

// kafkaVersion is the release whose protocol and behaviour are served.
const kafkaVersion = "4.4"

type buildInfo struct {
	Version  string `json:"version"`
	Revision string `json:"revision"`
	Modified bool   `json:"modified"` // built from a tree with changes
	Time     string `json:"time"`
	Go       string `json:"go"`
	Platform string `json:"platform"`
	Kafka    string `json:"kafka"`
}

// versionInfo reads what the linker and the go command left in the binary.
func versionInfo() buildInfo {
	info := buildInfo{Version: version, Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH, Kafka: kafkaVersion}
	b, ok := debug.ReadBuildInfo()
	if ok {
		for _, s := range b.Settings {
			switch s.Key {
			case "vcs.revision":
				info.Revision = s.Value
			case "vcs.time":
				info.Time = s.Value
			case "vcs.modified":
				info.Modified = s.Value == "true"
			}
		}
	}
	if info.Version == "" {
		info.Version = "dev"
		if ok && b.Main.Version != "" && b.Main.Version != "(devel)" {
			info.Version = b.Main.Version
		}
	}
	return info
}

func newVersion(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "Show the version", GroupID: "tools",
		Example: "  dmq version\n  dmq version -o json",
		Args:    cobra.NoArgs, ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(*cobra.Command, []string) error {
			v := versionInfo()
			if a.output == "table" || a.output == "wide" {
				_, err := fmt.Fprintf(a.out, "dmq %s  (%s, %s, speaks Kafka %s)\n", v.Version, v.Go, v.Platform, v.Kafka)
				return err
			}
			return a.print(result{value: v, names: []string{v.Version}})
		},
	}
}
