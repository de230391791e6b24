// SPDX-License-Identifier: GPL-2.0-or-later
//
// Keeps the host ports that a container has published from other programs: as long as its supervisor lives, nobody else can
// listen there.
//
// A socket is bound to each port, and that is all it is for. Packets that are meant for the container never get to it, since
// they are translated before a socket is looked for. What comes to the port by a way on which it is not published must find
// nobody, as if there were no socket: so none of them listens, and each is tied to the container's interface on the host, by
// which, as it is a port of a bridge, no packet ever comes to the host itself. Programs are kept out all the same, because
// theirs are tied to no interface; only sockets of two containers do not meet, so a port can move from one to the other
// without a moment in which it is nobody's.
//
// Which ports they are stands in STATE/containers/ID/ports, a file that the pipe writes. A program of somebody else that was
// quicker than the pipe and this keeps its port, and gets nothing by it.
#pragma once

#include <chrono>
#include <map>
#include <string>

#include "netns/unique_fd.h"
#include "src/container/poll_loop.h"
#include "src/model/host_ports.h"
#include "src/model/objects.h"

namespace mb::container {

class PortKeeper {
 public:
  // Ports of a container that are held, in each family: each costs a descriptor and some 2 KiB of the kernel. A wider range
  // is only looked at when it is published.
  static constexpr std::size_t kMost = 4096;

  // The container's directory must be there. Nothing is held yet.
  PortKeeper(const std::string& state_dir, const Id& container);

  // Reads the file, takes what is in it and lets go of what is not. Whether all could be had.
  bool keep();

  // Does so whenever the file has been written, and again and again while a port cannot be had: soon at first, since the
  // interface may come a moment after the file, and every second later on.
  void join(PollLoop& loop);

 private:
  void keep_and_come_back();

  std::string path_;
  netns::UniqueFd changes_;
  netns::UniqueFd again_;
  std::chrono::milliseconds wait_;  // until the next try
  std::map<HostPort, netns::UniqueFd> held_;
};

}  // namespace mb::container
