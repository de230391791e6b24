// SPDX-License-Identifier: GPL-2.0-or-later
//
// What an init does while its command runs: hand on signals, collect the dead.
#pragma once

#include <sys/types.h>

namespace mb::container {

// Until `command` ends; returns its exit status, or 128 + the signal that ended it. Every signal that arrives, from
// inside or outside, goes to the command, but orphaned_signal() kills it and stopping_signal() stops it. Every signal must have been blocked since before the
// fork of the command.
int attend(pid_t command);

// The death signal (PR_SET_PDEATHSIG) of a process that attends from outside the command's pid namespace. It must outlive
// its own parent for a moment, to kill the command and reap it: otherwise that would be left to the machine's init,
// and until it does so the whole pid namespace cannot end. No command listens to this one.
int orphaned_signal();

// Stands for SIGSTOP, which would stop the process that attends instead of the command: it can be neither blocked nor handed
// on. (SIGCONT can.)
int stopping_signal();

// A wait status as a shell counts: the exit status, or 128 + the signal.
int exit_status_of(int wait_status);

// Waits for one child and returns its exit status.
int reap(pid_t child);

}  // namespace mb::container
