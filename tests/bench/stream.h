// SPDX-License-Identifier: GPL-2.0-or-later
//
// One TCP connection that carries as much as it can, through whatever lies between two namespaces.
#pragma once

#include <sched.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <thread>

#include "netns/netns.h"

namespace mb::bench {

// The calling thread, and those it starts, stay on one processor. What takes two threads then takes the time of their work,
// and not more or less according to where the scheduler has put them.
class OnOneProcessor {
 public:
  OnOneProcessor();
  ~OnOneProcessor();
  OnOneProcessor(const OnOneProcessor&) = delete;
  OnOneProcessor& operator=(const OnOneProcessor&) = delete;

 private:
  cpu_set_t before_{};
};

class Stream {
 public:
  // Connects from `from` to address:port; somebody listening in `server` on `server_port` gets it. Throws when nobody does.
  Stream(const netns::Namespace& from, const std::string& address, std::uint16_t port, const netns::Namespace& server,
         std::uint16_t server_port);
  ~Stream();
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;

  // Sends a piece and returns when the other end has read all of it.
  void carry() const;

 private:
  netns::UniqueFd client_;
  netns::UniqueFd accepted_;
  std::thread reader_;
};

}  // namespace mb::bench
