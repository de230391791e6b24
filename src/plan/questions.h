// SPDX-License-Identifier: GPL-2.0-or-later
//
// Which packets must pass for what was asked for to work, as probes to be followed through everybody's rules.
#pragma once

#include <string>
#include <vector>

#include "src/model/host_report.h"
#include "src/model/objects.h"
#include "src/plan/walk.h"

namespace mb::plan {

// Which way packets go, which decides what would let them through.
enum class Way : std::uint8_t {
  to_port,    // before the published port was translated
  into,       // to a container, forwarded
  out_of,     // from a container, forwarded or still to be routed
  answers,    // to what a container sent, before the address was translated back
  among,      // between containers of one bridge
  ask_host,   // name queries to the gateway
  from_host,  // the host itself to a published port
  uninvited,  // to a port that is not published: nobody should let them in
};

struct Question {
  Way way = Way::into;
  Probe probe;
  std::string bridge;
  std::string about;     // "the published port 8080 -> 80/tcp of 'web'"
  bool assumed = false;  // about a network that does not exist yet
};

// Where there is no network yet: of one as the first `run` would make it.
std::vector<Question> questions_about(const HostReport& report, const std::vector<Network>& networks,
                                      const std::vector<Container>& containers);

}  // namespace mb::plan
