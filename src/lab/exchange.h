// SPDX-License-Identifier: GPL-2.0-or-later
//
// The client's side of one request: a socket in a namespace, taken step by step so that whoever drives it can look at the world
// between two steps. It never waits by itself.
//
// The socket asks the kernel to report every ICMP error (IP_RECVERR), so a UDP or ICMP client learns what a TCP client would.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "netns/namespace.h"
#include "src/lab/observation.h"
#include "src/lab/scenario.h"

namespace mb::lab {

class Exchange {
 public:
  // Opens the socket and begins. Throws Error when the request cannot be made at all (the source address is not there …).
  // A single packet must have a source port: no kernel chooses one for it.
  Exchange(const netns::Namespace& from, const Request& request);
  ~Exchange();
  Exchange(Exchange&&) noexcept;

  // Does what can be done at once. Whether anything happened.
  bool step();
  // Something may be done when this is readable or writable; -1 for a single packet, whose answer only a capture sees.
  int descriptor() const;
  short awaited_events() const;

  // Nothing while neither an answer nor an error has come. Never `dropped`: that is for the driver to find out.
  std::optional<Outcome> outcome() const;
  const std::string& answer() const;
  std::optional<SocketAddress> local() const;
  // What a datagram carries.
  const std::string& payload() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace mb::lab
