// Command bench measures the client beside its peers in one run and says which
// of the project's targets are met.
//
// # Theory of operation
//
// Three kinds of processes take part, all of this program. The server answers by
// prebaked bytes from one thread around epoll, so that it is never what a
// figure is about. Each client runs in a process of its own, for one cell: a
// kind of request on a number of connections. The harness starts all clients of
// a cell, lets each warm up, and then has them run one after the other, round
// by round in rotating order, so that what the machine does meanwhile hits all
// alike.
//
// What is compared is the CPU time of the client's process for a request
// (getrusage, user and system), as the median of the rounds. With -pin same
// clients and server share one CPU: the waits for one another cost nothing then
// and the figures of two runs come close to one another. Ratios within one run
// are what the targets are about; an absolute figure is good for one machine.
//
// Every client reads the whole answer and checks its status and length.
package main
