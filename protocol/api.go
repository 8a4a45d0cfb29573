package protocol

import "slices"

// Scope says on which listeners an API is served.
type Scope uint8

// The scopes. An API may have both.
const (
	ScopeBroker     Scope = 1 << iota // listeners of clients and brokers
	ScopeController                   // listeners of the metadata quorum
)

// API is one row of the table of what is served.
type API struct {
	Key                    int16
	Name                   string // Kafka's
	MinVersion, MaxVersion int16  // what is served
	AdvertisedMin          int16  // what ApiVersions says; below MinVersion for Produce only
	FlexibleFrom           int16  // first version with tagged fields; -1: none
	Scope                  Scope
	Forwarded              bool // a broker has the active controller answer
}

// Flexible reports whether the version has tagged fields, and with them the newer headers.
func (a API) Flexible(version int16) bool { return a.FlexibleFrom >= 0 && version >= a.FlexibleFrom }

// APIVersionsKey is the one API whose response header never has tagged fields and whose unknown versions are answered.
const APIVersionsKey int16 = 18

const both = ScopeBroker | ScopeController

// served is the one table of keys and versions: ApiVersions, the dispatcher and docs/compatibility.md are fed from it.
// Versions are the stable ones of Apache Kafka 4.4. Produce is advertised from 0 although 0-2 are refused, since
// librdkafka derives features from it (KAFKA-18659).
var served = [...]API{
	{Key: 0, Name: "Produce", MinVersion: 3, MaxVersion: 13, AdvertisedMin: 0, FlexibleFrom: 9, Scope: ScopeBroker},
	{Key: 1, Name: "Fetch", MinVersion: 4, MaxVersion: 18, AdvertisedMin: 4, FlexibleFrom: 12, Scope: ScopeBroker},
	{Key: 2, Name: "ListOffsets", MinVersion: 1, MaxVersion: 11, AdvertisedMin: 1, FlexibleFrom: 6, Scope: ScopeBroker},
	{Key: 3, Name: "Metadata", MinVersion: 0, MaxVersion: 13, AdvertisedMin: 0, FlexibleFrom: 9, Scope: ScopeBroker},
	{Key: 8, Name: "OffsetCommit", MinVersion: 2, MaxVersion: 10, AdvertisedMin: 2, FlexibleFrom: 8, Scope: ScopeBroker},
	{Key: 9, Name: "OffsetFetch", MinVersion: 1, MaxVersion: 10, AdvertisedMin: 1, FlexibleFrom: 6, Scope: ScopeBroker},
	{Key: 10, Name: "FindCoordinator", MinVersion: 0, MaxVersion: 6, AdvertisedMin: 0, FlexibleFrom: 3, Scope: ScopeBroker},
	{Key: 11, Name: "JoinGroup", MinVersion: 0, MaxVersion: 9, AdvertisedMin: 0, FlexibleFrom: 6, Scope: ScopeBroker},
	{Key: 12, Name: "Heartbeat", MinVersion: 0, MaxVersion: 4, AdvertisedMin: 0, FlexibleFrom: 4, Scope: ScopeBroker},
	{Key: 13, Name: "LeaveGroup", MinVersion: 0, MaxVersion: 5, AdvertisedMin: 0, FlexibleFrom: 4, Scope: ScopeBroker},
	{Key: 14, Name: "SyncGroup", MinVersion: 0, MaxVersion: 5, AdvertisedMin: 0, FlexibleFrom: 4, Scope: ScopeBroker},
	{Key: 15, Name: "DescribeGroups", MinVersion: 0, MaxVersion: 6, AdvertisedMin: 0, FlexibleFrom: 5, Scope: ScopeBroker},
	{Key: 16, Name: "ListGroups", MinVersion: 0, MaxVersion: 5, AdvertisedMin: 0, FlexibleFrom: 3, Scope: ScopeBroker},
	{Key: 18, Name: "ApiVersions", MinVersion: 0, MaxVersion: 5, AdvertisedMin: 0, FlexibleFrom: 3, Scope: both},
	{Key: 19, Name: "CreateTopics", MinVersion: 2, MaxVersion: 7, AdvertisedMin: 2, FlexibleFrom: 5, Scope: both, Forwarded: true},
	{Key: 20, Name: "DeleteTopics", MinVersion: 1, MaxVersion: 6, AdvertisedMin: 1, FlexibleFrom: 4, Scope: both, Forwarded: true},
	{Key: 21, Name: "DeleteRecords", MinVersion: 0, MaxVersion: 2, AdvertisedMin: 0, FlexibleFrom: 2, Scope: ScopeBroker},
	{Key: 22, Name: "InitProducerId", MinVersion: 0, MaxVersion: 5, AdvertisedMin: 0, FlexibleFrom: 2, Scope: ScopeBroker},
	{Key: 23, Name: "OffsetForLeaderEpoch", MinVersion: 2, MaxVersion: 4, AdvertisedMin: 2, FlexibleFrom: 4, Scope: ScopeBroker},
	{Key: 32, Name: "DescribeConfigs", MinVersion: 1, MaxVersion: 4, AdvertisedMin: 1, FlexibleFrom: 4, Scope: both},
	{Key: 33, Name: "AlterConfigs", MinVersion: 0, MaxVersion: 2, AdvertisedMin: 0, FlexibleFrom: 2, Scope: both, Forwarded: true},
	{Key: 35, Name: "DescribeLogDirs", MinVersion: 1, MaxVersion: 5, AdvertisedMin: 1, FlexibleFrom: 2, Scope: ScopeBroker},
	{Key: 37, Name: "CreatePartitions", MinVersion: 0, MaxVersion: 3, AdvertisedMin: 0, FlexibleFrom: 2, Scope: both, Forwarded: true},
	{Key: 42, Name: "DeleteGroups", MinVersion: 0, MaxVersion: 3, AdvertisedMin: 0, FlexibleFrom: 2, Scope: ScopeBroker},
	{Key: 43, Name: "ElectLeaders", MinVersion: 0, MaxVersion: 2, AdvertisedMin: 0, FlexibleFrom: 2, Scope: both, Forwarded: true},
	{Key: 44, Name: "IncrementalAlterConfigs", MinVersion: 0, MaxVersion: 1, AdvertisedMin: 0, FlexibleFrom: 1, Scope: both, Forwarded: true},
	{Key: 45, Name: "AlterPartitionReassignments", MinVersion: 0, MaxVersion: 1, AdvertisedMin: 0, FlexibleFrom: 0, Scope: both, Forwarded: true},
	{Key: 46, Name: "ListPartitionReassignments", MinVersion: 0, MaxVersion: 0, AdvertisedMin: 0, FlexibleFrom: 0, Scope: both, Forwarded: true},
	{Key: 47, Name: "OffsetDelete", MinVersion: 0, MaxVersion: 0, AdvertisedMin: 0, FlexibleFrom: -1, Scope: ScopeBroker},
	{Key: 55, Name: "DescribeQuorum", MinVersion: 0, MaxVersion: 2, AdvertisedMin: 0, FlexibleFrom: 0, Scope: both, Forwarded: true},
	{Key: 56, Name: "AlterPartition", MinVersion: 2, MaxVersion: 3, AdvertisedMin: 2, FlexibleFrom: 0, Scope: ScopeController},
	{Key: 57, Name: "UpdateFeatures", MinVersion: 0, MaxVersion: 2, AdvertisedMin: 0, FlexibleFrom: 0, Scope: both, Forwarded: true},
	{Key: 60, Name: "DescribeCluster", MinVersion: 0, MaxVersion: 2, AdvertisedMin: 0, FlexibleFrom: 0, Scope: both},
	{Key: 61, Name: "DescribeProducers", MinVersion: 0, MaxVersion: 0, AdvertisedMin: 0, FlexibleFrom: 0, Scope: ScopeBroker},
	{Key: 62, Name: "BrokerRegistration", MinVersion: 0, MaxVersion: 4, AdvertisedMin: 0, FlexibleFrom: 0, Scope: ScopeController},
	{Key: 63, Name: "BrokerHeartbeat", MinVersion: 0, MaxVersion: 2, AdvertisedMin: 0, FlexibleFrom: 0, Scope: ScopeController},
	{Key: 64, Name: "UnregisterBroker", MinVersion: 0, MaxVersion: 0, AdvertisedMin: 0, FlexibleFrom: 0, Scope: both, Forwarded: true},
	{Key: 67, Name: "AllocateProducerIds", MinVersion: 0, MaxVersion: 0, AdvertisedMin: 0, FlexibleFrom: 0, Scope: ScopeController},
	{Key: 68, Name: "ConsumerGroupHeartbeat", MinVersion: 0, MaxVersion: 1, AdvertisedMin: 0, FlexibleFrom: 0, Scope: ScopeBroker},
	{Key: 69, Name: "ConsumerGroupDescribe", MinVersion: 0, MaxVersion: 1, AdvertisedMin: 0, FlexibleFrom: 0, Scope: ScopeBroker},
	{Key: 70, Name: "ControllerRegistration", MinVersion: 0, MaxVersion: 0, AdvertisedMin: 0, FlexibleFrom: 0, Scope: ScopeController},
	{Key: 73, Name: "AssignReplicasToDirs", MinVersion: 0, MaxVersion: 0, AdvertisedMin: 0, FlexibleFrom: 0, Scope: ScopeController},
	{Key: 74, Name: "ListConfigResources", MinVersion: 0, MaxVersion: 1, AdvertisedMin: 0, FlexibleFrom: 0, Scope: ScopeBroker},
	{Key: 75, Name: "DescribeTopicPartitions", MinVersion: 0, MaxVersion: 0, AdvertisedMin: 0, FlexibleFrom: 0, Scope: ScopeBroker},
	{Key: 80, Name: "AddRaftVoter", MinVersion: 0, MaxVersion: 1, AdvertisedMin: 0, FlexibleFrom: 0, Scope: both, Forwarded: true},
	{Key: 81, Name: "RemoveRaftVoter", MinVersion: 0, MaxVersion: 0, AdvertisedMin: 0, FlexibleFrom: 0, Scope: both, Forwarded: true},
	{Key: 82, Name: "UpdateRaftVoter", MinVersion: 0, MaxVersion: 0, AdvertisedMin: 0, FlexibleFrom: 0, Scope: ScopeController},
}

// APIs returns the table, sorted by key.
func APIs() []API { return slices.Clone(served[:]) }

// LookupAPI returns the row of a key. It is called for each request and allocates nothing.
func LookupAPI(key int16) (API, bool) {
	lo, hi := 0, len(served)
	for lo < hi {
		mid := (lo + hi) / 2
		if served[mid].Key < key {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	if lo < len(served) && served[lo].Key == key {
		return served[lo], true
	}
	return API{}, false
}
