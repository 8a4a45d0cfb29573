// Package replicas compares what the nodes of a stopped cluster hold on their disks.
//
// Below the high watermark every replica of a partition holds the same batches, byte for byte (I2). Above it, where two hold a
// batch of the same offset and leader epoch, it is the same batch (I6). Along every log the leader epoch never falls, and
// leader-epoch-checkpoint says where each epoch begins.
//
// Compare reads the folders and writes nothing. Nodes have to be stopped; a log that ends in the middle of a batch is as good as
// one that ends before it. Topics that are compacted are not for it: each replica compacts by itself.
package replicas
