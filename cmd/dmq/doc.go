// Command dmq is the broker and its command line.
//
// It owns the process: flags, environment, files, signals, the logger and exit codes. Everything else is in the packages
// it wires together. Data goes to standard output; logs, the banner, prompts and errors go to standard error.
//
// Exit codes: 0 done, 1 failed, 2 wrong usage, 3 not found, 4 denied, 5 unhealthy or verification failed, 6 partly done,
// 7 unreachable or timed out, 8 conflict, 130 interrupted, 143 terminated.
package main
