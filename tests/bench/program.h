// SPDX-License-Identifier: GPL-2.0-or-later
//
// Programs from outside: started, waited for, watched.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

namespace mb::bench {

using Words = std::vector<std::string>;

// The minibridge that is measured, with its state directory.
Words minibridge(const Words& words);

// Starts it with its output thrown away and waits for it; throws when it fails.
void run(const Words& words);
// What it printed.
std::string output_of(const Words& words);

// The most memory that the started process itself ever held (not its children), in KiB.
long peak_memory(const Words& words);
// The same for a process that runs.
long peak_memory_of(pid_t process);
pid_t parent_of(pid_t process);

// How often it replaced a table of iptables, by the system calls it made.
int count_commits(const Words& words);

}  // namespace mb::bench
