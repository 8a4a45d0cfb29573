package listener

// Poison has the gate overwrite buffers that are given back.
func (g *Gate) Poison() { g.poison = true }

// Queued is the number of connections in line for memory.
func (g *Gate) Queued() int { return int(g.budget.waiting.Load()) }

// Guarded runs f as a connection runs its handler.
func Guarded(f func() error) error { return (&conn{}).guarded(f) }

// AliasingKeys are the API keys of which requests keep their buffer while they are served.
func AliasingKeys() (keys []int16) {
	for k, yes := range aliasingKeys() {
		if yes {
			keys = append(keys, k)
		}
	}
	return keys
}

// JavaHost exports javaHost.
var JavaHost = javaHost
