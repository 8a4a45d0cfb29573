package group

// PartitionFor exports partitionFor.
var PartitionFor = partitionFor
