package config

import (
	"fmt"
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/magiconair/properties"
)

// provider answers ${name:path:key} in values, as Kafka's ConfigProviders do.
type provider func(path, key string) (string, error)

// variable is Kafka's pattern: ${provider:[path:]key}.
var variable = regexp.MustCompile(`\$\{([^}:]*):(?:([^}]*):)?([^}:]*)\}`)

// expand replaces the variables of all values. A variable of a provider that does not exist stays as it is, as in Kafka,
// and is warned of; one that cannot be looked up is a fault.
func (b *builder) expand(set map[string]Value, s Sources) {
	providers := b.providers(set, s)
	for _, key := range slices.Sorted(maps.Keys(set)) {
		v := set[key]
		if !strings.Contains(v.Text, "${") || strings.HasPrefix(key, "config.providers") {
			continue
		}
		v.Text = variable.ReplaceAllStringFunc(v.Text, func(match string) string {
			m := variable.FindStringSubmatch(match)
			get, ok := providers[m[1]]
			if !ok {
				b.warnings = append(b.warnings, Warning{Kind: WarnOther, Key: key, Source: v.Source, Text: fmt.Sprintf("%s names no provider and stays as it is", match), Hint: "known are " + strings.Join(slices.Sorted(maps.Keys(providers)), ", ")})
				return match
			}
			text, err := get(m[2], m[3])
			if err != nil {
				b.faults = append(b.faults, &FaultError{Key: key, Value: match, Source: v.Source, Why: err.Error()})
				return match
			}
			return text
		})
		set[key] = v
	}
}

// providers are env, file and dir, and the names config.providers gives to Kafka's classes of the same kinds.
func (b *builder) providers(set map[string]Value, s Sources) map[string]provider {
	out := map[string]provider{"env": envProvider(s.Env, nil), "file": fileProvider(s, nil), "dir": dirProvider(s, nil)}
	for _, name := range listOf(set["config.providers"].Text) {
		if name == "" {
			continue
		}
		class := set["config.providers."+name+".class"]
		paths := listOf(set["config.providers."+name+".param.allowed.paths"].Text)
		switch class.Text[strings.LastIndex(class.Text, ".")+1:] {
		case "EnvVarConfigProvider":
			allowed, err := regexp.Compile(`^(?:` + set["config.providers."+name+".param.allowlist.pattern"].Text + `)$`)
			if err != nil {
				b.faults = append(b.faults, &FaultError{Key: "config.providers." + name + ".param.allowlist.pattern", Source: class.Source, Why: err.Error()})
				continue
			}
			if set["config.providers."+name+".param.allowlist.pattern"].Text == "" {
				allowed = nil
			}
			out[name] = envProvider(s.Env, allowed)
		case "FileConfigProvider":
			out[name] = fileProvider(s, paths)
		case "DirectoryConfigProvider":
			out[name] = dirProvider(s, paths)
		default:
			b.faults = append(b.faults, &FaultError{
				Key: "config.providers." + name + ".class", Value: class.Text, Source: class.Source,
				Why: "Java classes cannot be loaded here", Next: "use EnvVarConfigProvider, FileConfigProvider or DirectoryConfigProvider",
			})
		}
	}
	return out
}

func envProvider(env []string, allowed *regexp.Regexp) provider {
	return func(path, key string) (string, error) {
		if path != "" {
			return "", fmt.Errorf("env takes no path, got %q", path)
		}
		if allowed == nil || allowed.MatchString(key) {
			for _, kv := range env {
				if name, text, ok := strings.Cut(kv, "="); ok && name == key {
					return text, nil
				}
			}
		}
		return "", fmt.Errorf("environment variable %s is not set", key)
	}
}

// fileProvider reads one property of a properties file.
func fileProvider(s Sources, allowed []string) provider {
	return func(path, key string) (string, error) {
		if err := allow(path, allowed); err != nil {
			return "", err
		}
		data, err := readFile(s, path)
		if err != nil {
			return "", fmt.Errorf("read %s: %w", path, err)
		}
		loader := properties.Loader{Encoding: properties.UTF8, DisableExpansion: true}
		p, err := loader.LoadBytes(data)
		if err != nil {
			return "", fmt.Errorf("%s is not in properties format", path)
		}
		text, ok := p.Get(key)
		if !ok {
			return "", fmt.Errorf("%s has no property %s", path, key)
		}
		return text, nil
	}
}

// dirProvider reads a whole file; its name is the key. A newline at the end, as editors leave it, is dropped.
func dirProvider(s Sources, allowed []string) provider {
	return func(path, key string) (string, error) {
		if err := allow(path, allowed); err != nil {
			return "", err
		}
		if key == "" || key == "." || key == ".." || strings.ContainsAny(key, `/\`) {
			return "", fmt.Errorf("%q is not the name of a file", key)
		}
		data, err := readFile(s, filepath.Join(path, key))
		if err != nil {
			return "", fmt.Errorf("read %s: %w", filepath.Join(path, key), err)
		}
		return strings.TrimSuffix(strings.TrimSuffix(string(data), "\n"), "\r"), nil
	}
}

// allow checks a path against param.allowed.paths.
func allow(path string, allowed []string) error {
	if path == "" {
		return fmt.Errorf("a path is needed: ${file:path:key}")
	}
	if len(allowed) == 0 {
		return nil
	}
	clean := filepath.Clean(path)
	for _, root := range allowed {
		rel, err := filepath.Rel(filepath.Clean(root), clean)
		if err == nil && rel != ".." && !strings.HasPrefix(rel, ".."+string(filepath.Separator)) {
			return nil
		}
	}
	return fmt.Errorf("%s is outside of the allowed paths", path)
}
