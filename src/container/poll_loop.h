// SPDX-License-Identifier: GPL-2.0-or-later
//
// The one loop of a supervisor: waits for whatever may happen next and lets its owner react. No threads, no timers.
#pragma once

#include <poll.h>

#include <functional>
#include <vector>

namespace mb::container {

class PollLoop {
 public:
  // What to wait for now; a descriptor of -1 waits for nothing. Asked anew each time.
  using Interest = std::function<pollfd()>;
  using Ready = std::function<void()>;

  void add(Interest interest, Ready ready) { watches_.push_back({std::move(interest), std::move(ready)}); }
  void add_readable(int fd, Ready ready);

  // Waits for events and reacts to them until the condition is false.
  void run_while(const std::function<bool()>& condition);

 private:
  struct Watch {
    Interest interest;
    Ready ready;
  };
  void wait_once();

  std::vector<Watch> watches_;
};

}  // namespace mb::container
