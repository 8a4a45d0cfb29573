package config

import (
	"errors"
	"fmt"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// check is a rule for the parsed value of one property. Its texts are those Kafka clients see with INVALID_CONFIG.
type check struct {
	text string // Kafka's notation of the accepted values, for the docs
	fn   func(name string, value any) error
}

// any accepts every value of the right type.
func anything() check { return check{} }

// invalid words a refused value as Kafka does.
func invalid(name string, value any, why string) error {
	return fmt.Errorf("Invalid value %s for configuration %s: %s", format(value), name, why) //nolint:staticcheck // Kafka's text, compared by clients and people
}

func atLeast(minimum int64) check { return between(minimum, math.MaxInt64) }

// between accepts numbers of the closed range; MaxInt64 is no upper bound.
func between(minimum, maximum int64) check {
	text := fmt.Sprintf("[%d,...,%d]", minimum, maximum)
	if maximum == math.MaxInt64 {
		text = fmt.Sprintf("[%d,...]", minimum)
	}
	return check{text: text, fn: func(name string, value any) error {
		if value == nil {
			return invalid(name, nil, "Value must be non-null")
		}
		switch n := number(value); {
		case n < float64(minimum):
			return invalid(name, value, fmt.Sprintf("Value must be at least %d", minimum))
		case maximum != math.MaxInt64 && n > float64(maximum):
			return invalid(name, value, fmt.Sprintf("Value must be no more than %d", maximum))
		}
		return nil
	}}
}

// ratio accepts doubles of [lower, upper].
func ratio(lower, upper float64) check {
	text := fmt.Sprintf("[%v,...,%v]", lower, upper)
	return check{text: text, fn: func(name string, value any) error {
		switch n := number(value); {
		case n < lower:
			return invalid(name, value, fmt.Sprintf("Value must be at least %v", lower))
		case n > upper:
			return invalid(name, value, fmt.Sprintf("Value must be no more than %v", upper))
		}
		return nil
	}}
}

// gzipLevel is the one range with a hole.
func gzipLevel() check {
	return check{text: "[1,...,9] or -1", fn: func(name string, value any) error {
		if n := number(value); n != -1 && (n < 1 || n > 9) {
			return invalid(name, value, "Value must be between 1 and 9 or equal to -1")
		}
		return nil
	}}
}

// oneOf accepts exactly these strings.
func oneOf(values ...string) check {
	joined := strings.Join(values, ", ")
	return check{text: "[" + joined + "]", fn: func(name string, value any) error {
		if s, ok := value.(string); !ok || !slices.Contains(values, s) {
			return invalid(name, value, "String must be one of: "+joined)
		}
		return nil
	}}
}

// oneOfFold accepts these strings in any case.
func oneOfFold(values ...string) check {
	joined := strings.Join(values, ", ")
	return check{text: "(case insensitive) [" + joined + "]", fn: func(name string, value any) error {
		if s, ok := value.(string); !ok || !slices.ContainsFunc(values, func(v string) bool { return strings.EqualFold(v, s) }) {
			return invalid(name, value, "String must be one of (case insensitive): "+joined)
		}
		return nil
	}}
}

// filledText refuses the empty string; null is accepted.
func filledText() check {
	return check{text: "non-empty string", fn: func(name string, value any) error {
		if s, ok := value.(string); ok && s == "" {
			return invalid(name, value, "String must be non-empty")
		}
		return nil
	}}
}

// listRule says what a list may be; its entries are never empty. Duplicates are dropped when the value is parsed.
type listRule struct {
	empty, null bool
	of          []string // empty: any
}

func distinct(r listRule) check {
	text := ""
	if len(r.of) > 0 {
		text = "[" + strings.Join(r.of, ", ") + "]"
	}
	return check{text: text, fn: func(name string, value any) error {
		if value == nil {
			if r.null {
				return nil
			}
			return fmt.Errorf("Configuration '%s' values must not be null.", name) //nolint:staticcheck // Kafka's text
		}
		values, _ := value.([]string)
		if len(values) == 0 && !r.empty {
			valid := "any non-empty value"
			if len(r.of) > 0 {
				valid = text
			}
			return fmt.Errorf("Configuration '%s' must not be empty. Valid values include: %s", name, valid) //nolint:staticcheck // Kafka's text
		}
		for _, v := range values {
			if v == "" {
				return fmt.Errorf("Configuration '%s' values must not be empty.", name) //nolint:staticcheck // Kafka's text
			}
			if len(r.of) > 0 && !slices.Contains(r.of, v) {
				return invalid(name, v, "String must be one of: "+strings.Join(r.of, ", "))
			}
		}
		return nil
	}}
}

// throttledReplicas is '*' or partition:broker pairs.
func throttledReplicas() check {
	const form = "[partitionId]:[brokerId],[partitionId]:[brokerId],..."
	return check{text: form, fn: func(name string, value any) error {
		values, _ := value.([]string)
		if len(values) == 1 && values[0] == "*" {
			return nil
		}
		for _, v := range values {
			partition, broker, ok := strings.Cut(v, ":")
			if !ok || !digits(partition) || !digits(broker) {
				return invalid(name, value, name+" must be the literal '*' or a list of replicas in the following format: "+form)
			}
		}
		return nil
	}}
}

func digits(s string) bool {
	return s != "" && strings.Trim(s, "0123456789") == ""
}

// number reads any numeric value for a comparison, as Kafka compares them: as doubles.
func number(value any) float64 {
	switch v := value.(type) {
	case int64:
		return float64(v)
	case float64:
		return v
	}
	return math.NaN()
}

// parse turns text into the value of a type: bool, int64 (of every width), float64, string or []string. Surrounding
// white space is dropped first, as Kafka does.
func parse(name, text string, t Type) (any, error) {
	trimmed := strings.TrimFunc(text, func(r rune) bool { return r <= ' ' })
	switch t {
	case tBool:
		switch {
		case strings.EqualFold(trimmed, "true"):
			return true, nil
		case strings.EqualFold(trimmed, "false"):
			return false, nil
		}
		return nil, invalid(name, text, "Expected value to be either true or false")
	case tShort:
		return parseInt(name, text, trimmed, 16, "SHORT")
	case tInt:
		return parseInt(name, text, trimmed, 32, "INT")
	case tLong:
		return parseInt(name, text, trimmed, 64, "LONG")
	case tDouble:
		v, err := parseDouble(trimmed)
		if err != nil {
			return nil, invalid(name, text, "Not a number of type DOUBLE")
		}
		return v, nil
	case tList:
		if trimmed == "" {
			return []string{}, nil
		}
		values := strings.Split(trimmed, ",")
		for i := range values {
			values[i] = strings.TrimSpace(values[i])
		}
		return values, nil
	default: // string, password, class
		return trimmed, nil
	}
}

func parseInt(name, text, trimmed string, bits int, kind string) (any, error) {
	v, err := strconv.ParseInt(trimmed, 10, bits)
	if err != nil || strings.Contains(trimmed, "_") {
		return nil, invalid(name, text, "Not a number of type "+kind)
	}
	return v, nil
}

// parseDouble reads what Java's Double.parseDouble reads and people write.
func parseDouble(s string) (float64, error) {
	switch strings.TrimLeft(s, "+-") {
	case "NaN", "Infinity":
	default: // Go also takes "inf", "nan" and underscores
		if strings.ContainsAny(s, "_nN") || strings.Contains(strings.ToLower(s), "inf") {
			return 0, strconv.ErrSyntax
		}
		s = strings.TrimRight(s, "dDfF") // Java's type suffixes
	}
	v, err := strconv.ParseFloat(s, 64)
	if errors.Is(err, strconv.ErrRange) { // Java rounds to infinity or zero
		return v, nil
	}
	return v, err
}

// format prints a parsed value as Java does in Kafka's messages: lists in brackets, doubles with their point.
func format(value any) string {
	switch v := value.(type) {
	case nil:
		return "null"
	case []string:
		return "[" + strings.Join(v, ", ") + "]"
	case float64:
		return javaDouble(v)
	default:
		return fmt.Sprint(v)
	}
}

// canonical prints a parsed value as Kafka stores and describes it.
func canonical(value any) string {
	switch v := value.(type) {
	case []string:
		return strings.Join(v, ",")
	case nil:
		return ""
	default:
		return format(v)
	}
}

// javaDouble prints a double as Java's Double.toString: plain between 1e-3 and 1e7, else with an exponent.
func javaDouble(v float64) string {
	switch {
	case math.IsNaN(v):
		return "NaN"
	case math.IsInf(v, 1):
		return "Infinity"
	case math.IsInf(v, -1):
		return "-Infinity"
	case v == 0:
		if math.Signbit(v) {
			return "-0.0"
		}
		return "0.0"
	}
	if a := math.Abs(v); a >= 1e-3 && a < 1e7 {
		s := strconv.FormatFloat(v, 'f', -1, 64)
		if !strings.Contains(s, ".") {
			s += ".0"
		}
		return s
	}
	mantissa, exponent, _ := strings.Cut(strconv.FormatFloat(v, 'E', -1, 64), "E")
	if !strings.Contains(mantissa, ".") {
		mantissa += ".0"
	}
	n, _ := strconv.Atoi(exponent)
	return mantissa + "E" + strconv.Itoa(n)
}

// value parses text and applies the property's rule. Duplicate list entries are dropped where Kafka drops them.
func (p *Property) value(text string) (any, error) {
	v, err := parse(p.Name, text, p.Type)
	if err != nil {
		return nil, err
	}
	if list, ok := v.([]string); ok && p.Type == kmsg.ConfigTypeList && p.Name != throttledLeaders && p.Name != throttledFollowers {
		v = unique(list)
	}
	if p.check != nil {
		if err := p.check(p.Name, v); err != nil {
			return nil, err
		}
	}
	return v, nil
}

func unique(list []string) []string {
	out := make([]string, 0, len(list))
	for _, v := range list {
		if !slices.Contains(out, v) {
			out = append(out, v)
		}
	}
	return out
}

// duration accepts Go's notation of a positive duration.
func duration() check {
	return check{text: "a duration such as 30s or 2m", fn: func(name string, value any) error {
		s, _ := value.(string)
		if d, err := time.ParseDuration(s); err != nil || d <= 0 {
			return invalid(name, value, "Expected a positive duration such as 30s or 2m")
		}
		return nil
	}}
}

// isoDuration is the part of ISO 8601 Java's Duration.parse reads.
var isoDuration = regexp.MustCompile(`(?i)^[-+]?P(?:[-+]?\d+D)?(?:T(?:[-+]?\d+H)?(?:[-+]?\d+M)?(?:[-+]?\d+(?:[.,]\d{0,9})?S)?)?$`)

// offsetReset accepts where a share group may start.
func offsetReset() check {
	return check{text: "[latest, earliest, by_duration:PnDTnHnMn.nS]", fn: func(name string, value any) error {
		s, _ := value.(string)
		if s == "earliest" || s == "latest" {
			return nil
		}
		if d, ok := strings.CutPrefix(s, "by_duration:"); ok && isoDuration.MatchString(d) && !strings.HasPrefix(d, "-") && strings.ContainsAny(d, "0123456789") && !strings.HasSuffix(strings.ToUpper(d), "T") {
			return nil
		}
		return invalid(name, value, fmt.Sprintf("Invalid value `%s` for configuration %s. The value must be either 'earliest', 'latest' or of the format 'by_duration:<PnDTnHnMn.nS>'.", s, name))
	}}
}
