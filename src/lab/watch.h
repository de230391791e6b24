// SPDX-License-Identifier: GPL-2.0-or-later
//
// Watches every interface of a lab, and finds out when the lab is at rest: nothing on its way, nobody about to send. That is how a drop
// is proved without waiting for a timeout; docs/scenario-format.md has the argument.
//
// For the lab's first process. What is captured from a namespace inside a node keeps that namespace alive, so let go of them (leave_guests)
// before a command that might remove one.
#pragma once

#include <chrono>
#include <memory>
#include <set>
#include <vector>

#include "netns/namespace.h"
#include "src/lab/sort_packets.h"
#include "src/lab/world.h"

namespace mb::lab {

class Watch {
 public:
  explicit Watch(const World& world);
  ~Watch();
  Watch(const Watch&) = delete;
  Watch& operator=(const Watch&) = delete;

  // Looks for namespaces and interfaces that have come or gone since; then captures on all of them.
  void look_around();
  void leave_guests();

  // Throws Error(not_found) when there is no such place (as of the last look_around).
  const netns::Namespace& network(const Place& place) const;
  std::set<InterfacePlace> interfaces() const;
  std::vector<Place> places() const;

  // Returns when the lab is at rest. Throws Error when that does not come to pass in time.
  void settle(std::chrono::milliseconds patience = std::chrono::seconds(60));

  // The IP packets seen since the last call.
  std::vector<Captured> take();
  // Whether some kernel of the lab has asked for a link address in vain so far: it will ask again, and in the end tell the
  // sender. (An answer that passed by may still be lost on its way.)
  bool waits_for_neighbour() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace mb::lab
