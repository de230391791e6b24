// SPDX-License-Identifier: GPL-2.0-or-later
//
// Descriptors across fork: which ones a process keeps, and which become its standard streams.
#pragma once

#include <chrono>
#include <vector>

#include "netns/unique_fd.h"

namespace mb::container {

// The three descriptors that become a command's standard streams. They belong to somebody else.
struct Streams {
  int in = -1;
  int out = -1;
  int err = -1;
};

struct Pipe {
  netns::UniqueFd read;
  netns::UniqueFd write;
};

// Close-on-exec at both ends.
Pipe open_pipe();
netns::UniqueFd open_null();

void set_nonblocking(int fd);

// Waits until there is something to read; of a process held by a descriptor, until it has ended.
void wait_readable(int fd);
// The same, not for ever. Whether it came to that.
bool wait_readable(int fd, std::chrono::milliseconds patience);

// Closes everything above the standard streams but these.
void close_all_but(std::vector<int> kept);

// Makes them descriptors 0, 1 and 2, in whatever order they overlap with those now.
void become_standard_streams(const Streams& streams);

// Standard streams on /dev/null, or closed where there is none: for a process that only waits.
void drop_standard_streams() noexcept;

}  // namespace mb::container
