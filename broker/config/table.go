package config

import "github.com/twmb/franz-go/pkg/kmsg"

// Short names for the columns of the table, so that a row stays a line.
const (
	tBool     = kmsg.ConfigTypeBoolean
	tString   = kmsg.ConfigTypeString
	tInt      = kmsg.ConfigTypeInt
	tShort    = kmsg.ConfigTypeShort
	tLong     = kmsg.ConfigTypeLong
	tDouble   = kmsg.ConfigTypeDouble
	tList     = kmsg.ConfigTypeList
	tClass    = kmsg.ConfigTypeClass
	tPassword = kmsg.ConfigTypePassword

	null = "\x00" // no default: the value is null until set

	maxInt  = "2147483647"
	maxLong = "9223372036854775807"
)

// effect says what setting a property does here.
type effect uint8

const (
	on       effect = iota // it works
	off                    // known and accepted, but nothing happens yet
	internal               // as off; and DescribeConfigs shows it only when it is set (Kafka's internal keys)
	testing                // works, and is shown only when it is set
)

// row is one line of the table; property turns it into what the rest of the program sees.
type row struct {
	name   string
	typ    Type
	def    string
	imp    Importance
	mode   Mode
	check  check
	effect effect
	doc    string
}

func (r row) property(scope Scope) *Property {
	p := &Property{
		Name: r.name, Scope: scope, Type: r.typ, Importance: r.imp, Mode: r.mode, Doc: r.doc,
		Effective: r.effect == on || r.effect == testing,
		Internal:  r.effect == internal || r.effect == testing,
		check:     r.check.fn, Valid: r.check.text,
	}
	if r.def != null {
		p.Default, p.HasDefault = r.def, true
	}
	if scope != ScopeBroker {
		p.Mode = ClusterWide
	}
	return p
}

// brokerTable is every broker property, by area.
func brokerTable() [][]row {
	return [][]row{
		nodeRows(), networkRows(), logRows(), cleanerRows(), topicRowsOfBrokers(), replicationRows(), quorumRows(), groupCoordinatorRows(),
		offsetRows(), transactionRows(), shareCoordinatorRows(), quotaRows(), dynamicOnlyRows(), metricRows(), tieredRows(), tlsRows(), saslRows(), oauthRows(), accessRows(), dmqRows(),
	}
}
