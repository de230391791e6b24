// SPDX-License-Identifier: GPL-2.0-or-later
#include "src/container/poll_loop.h"

#include <cerrno>

#include "src/base/error.h"

namespace mb::container {

void PollLoop::add_readable(int fd, Ready ready) {
  add([fd] { return pollfd{fd, POLLIN, 0}; }, std::move(ready));
}

void PollLoop::run_while(const std::function<bool()>& condition) {
  while (condition()) wait_once();
}

void PollLoop::wait_once() {
  std::vector<pollfd> entries;
  entries.reserve(watches_.size());
  for (const Watch& watch : watches_) entries.push_back(watch.interest());
  if (::poll(entries.data(), entries.size(), -1) < 0) {
    if (errno == EINTR) return;
    throw system_failure("cannot wait for the container", errno);
  }
  for (std::size_t i = 0; i < entries.size(); ++i) {
    if (entries[i].revents != 0) watches_[i].ready();
  }
}

}  // namespace mb::container
