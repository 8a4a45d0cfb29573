// Package crash kills a broker under load and checks what it had promised.
//
// Two ways to die: kill -9 of the process, and a power cut of its disk: a loop-mounted ext4 is shut down with
// FS_IOC_SHUTDOWN without flushing its journal, so that what was synced stays and what was not is gone, then the process is
// killed, the disk mounted again and the broker restarted on it. It needs root and loop devices.
//
// The ledger of a run holds what the broker acknowledged (acks=all), what consumers were shown, and the topics that it
// said it had created. After every restart all of it must be there, at the same offsets, with the same bytes: a record
// that was seen at an offset may never give way to another. The ledger is kept over all rounds.
package crash
