package config

import "io/fs"

// Sources is where a configuration comes from, highest precedence first.
type Sources struct {
	Set    []string // key=value, from --set and flags; later wins
	Env    []string // KEY=value as os.Environ; DMQ_* beats KAFKA_*
	Files  []string // server.properties or YAML (.yaml, .yml); later wins
	Strict bool     // an unknown key is a fault, not a warning

	ReadFile func(name string) ([]byte, error)        // never nil when Files or a provider is used
	ReadDir  func(name string) ([]fs.DirEntry, error) // for ${dir:...}
	WorkDir  string                                   // relative paths of log.dirs are kept as they are; used for messages only
}

// Warning is something the operator should know that does not stop the node.
type Warning struct {
	Key  string // the property
	Text string // what is wrong
	Hint string // what to do, may be empty
}

// Load merges all sources, checks every value and returns the configuration. All faults are reported together, joined.
func Load(s Sources) (*Config, []Warning, error) {
	panic("to be filled")
}
