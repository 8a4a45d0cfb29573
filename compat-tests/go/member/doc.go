// Package member lets one process host members of consumer groups, whatever client library they use, so that a test can start
// them, have them leave, and kill the process under them.
//
// A host reads commands from its standard input, one a line, and says on its standard output what happens. The programs of the
// other languages (java, node, python, rust) speak the same:
//
//	join NAME GROUP TOPIC PROTOCOL ASSIGNOR INSTANCE SESSION    start a member; - is none, PROTOCOL classic or consumer, SESSION in ms
//	leave NAME                                                  close it, as a client that ends
//
//	assigned NAME 0,1,2                   what it holds now, all of it; - is nothing
//	record NAME PARTITION OFFSET VALUE    it was given a record; it commits after every poll that brought any
//	committed NAME PARTITION OFFSET       the broker has taken its commit
//	left NAME                             the client is closed
//	error NAME TEXT                       something that members meet and get over, or do not
//
// The end of its input has a host close its members and end.
package member
