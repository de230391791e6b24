// SPDX-License-Identifier: GPL-2.0-or-later
//
// Copies bytes from one descriptor to another inside a poll loop, without ever blocking it.
//
// Descriptors that belong to the user are not set to O_NONBLOCK: that would change them for every other process that
// has them. Instead a relay writes only when poll says there is room, and no more than a pipe is then sure to take.
#pragma once

#include <limits.h>
#include <poll.h>

#include <array>
#include <cstddef>

namespace mb::container {

class Relay {
 public:
  Relay(int from, int to) : from_(from), to_(to) {}

  // When the source ends, type Ctrl-D into the other side: a terminal has no other way to say "end".
  void end_with_control_d() { control_d_ = true; }

  pollfd interest() const;
  void ready();
  // Everything the source had has arrived, and there will be no more.
  bool finished() const { return source_ended_ && begin_ == end_; }

 private:
  void fill();
  void drain();
  void end_source();

  int from_;
  int to_;
  bool control_d_ = false;
  bool source_ended_ = false;
  bool sink_broken_ = false;  // go on reading, so that the writer never hangs
  char last_ = '\n';
  std::array<char, PIPE_BUF> buffer_{};
  std::size_t begin_ = 0;
  std::size_t end_ = 0;
};

}  // namespace mb::container
