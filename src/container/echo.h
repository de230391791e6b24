// SPDX-License-Identifier: GPL-2.0-or-later
//
// The test server: tells every client which source and destination address it sees, and where the client's packets
// were going before this namespace's iptables changed it (SO_ORIGINAL_DST).
//
//   TCP, SCTP  a client that speaks HTTP gets a response (JSON when it accepts that); one that says nothing, or
//              something else, gets one line. Then the connection is closed.
//   UDP        every datagram is answered with the line, from the address it was sent to.
//
// One thread and one epoll loop. No client can keep others waiting: a connection has 5 seconds, and when there are too
// many the oldest one goes. Opens no file, so it works below any root directory and in a forked process.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "src/model/address.h"
#include "src/model/port.h"

namespace mb::container {

struct EchoListen {
  IpAddress address;  // :: serves IPv4 too, unless an IPv4 address of the list has the same port
  std::uint16_t port = 0;
  Protocol protocol = Protocol::tcp;
};

struct EchoOptions {
  std::vector<EchoListen> listen;
};

// Serves until SIGTERM or SIGINT, then returns 0. `when_ready` is called once all sockets are bound. Throws Error when
// one cannot be (conflict when the port is taken), naming address and port. Raises the soft limit of open files when
// it is too low. For a process with one thread: the signals are blocked in the calling one only.
int serve_echo(const EchoOptions& options, const std::function<void()>& when_ready = {});

}  // namespace mb::container
