package config

import "github.com/twmb/franz-go/pkg/kmsg"

// Type is a property's type, with the ids DescribeConfigs v3+ uses.
type Type = kmsg.ConfigType

// Importance tells the reader of the documentation where to look first.
type Importance uint8

// The importances Kafka knows.
const (
	High Importance = iota
	Medium
	Low
)

// Scope is the kind of resource a property belongs to.
type Scope uint8

// The scopes. One name may exist once in each.
const (
	ScopeBroker Scope = iota
	ScopeTopic
	ScopeGroup
	ScopeClientMetrics
)

// Mode says how a broker property may be changed while the node runs.
type Mode uint8

// The modes. Topic, group and client-metrics properties are always dynamic in their own resource.
const (
	ReadOnly    Mode = iota // only in the file, environment or flags; a restart is needed
	PerBroker               // dynamic, for one broker only
	ClusterWide             // dynamic, per broker or as a cluster-wide default
)

// Property is one row of the table.
type Property struct {
	Name       string
	Scope      Scope
	Type       Type
	Default    string // as text; meaningless without HasDefault
	HasDefault bool   // false: the value is null until set
	Importance Importance
	Mode       Mode
	Effective  bool   // false: known and accepted, but nothing happens yet
	Internal   bool   // DescribeConfigs shows it only when it is set
	Synonym    string // of topic and group properties: the broker property that holds the default; "" none
	Valid      string // the accepted values, in Kafka's notation ("[0,...]"), for the docs
	Doc        string // one or two sentences

	check func(name string, value any) error // of a parsed value; nil: any
}

// Sensitive reports whether the value must never be shown.
func (p *Property) Sensitive() bool { return p.Type == kmsg.ConfigTypePassword }
