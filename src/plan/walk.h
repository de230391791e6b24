// SPDX-License-Identifier: GPL-2.0-or-later
//
// What the rules of a table do to a set of packets: the question of `doctor`, asked without sending one.
//
// A Probe stands for all packets that agree with what it says; what it leaves open may be anything. A rule may concern all of
// them, none, or some; of a match that is not understood nothing is known. So the answer is graded: a drop is certain
// only when every condition on the way to it holds for all packets, or when it is the rest of them (somebody's "accept
// this neighbour, drop the others") that meets it.
//
// Rules that single out some of the packets (one source address) are their author's business and no finding.
// Chains of minibridge are not entered: what our own rules do is by design. The operator's chain is.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "src/model/host_report.h"

namespace mb::plan {

struct Probe {
  Hook hook = Hook::forward;
  Family family = Family::v4;
  std::string in;  // the interface; empty: there is none at this hook, or it is not known
  std::string out;
  std::uint32_t in_group = 0;
  std::uint32_t out_group = 0;
  std::optional<Subnet> source;  // none: anybody
  std::optional<Subnet> destination;
  std::optional<match::AddressType> source_type;
  std::optional<match::AddressType> destination_type;
  std::optional<Protocol> protocol;  // none: any
  std::optional<PortRange> destination_ports;
  std::uint16_t states = match::kNew;  // of connection tracking, bits of match::ConnState
};

enum class Certainty : std::uint8_t { certain, possible };

struct Place {
  const HostTable* table = nullptr;
  std::string base;                // the chain at the hook
  std::string chain;               // the one that the rule is in
  const HostRule* rule = nullptr;  // none: the policy of the chain
};

// Where packets end that are not let through.
struct Stop {
  Place place;
  Certainty certainty = Certainty::certain;
  bool diverted = false;  // not dropped: the rule takes them away from ours (in a nat table)
};

struct Fate {
  // The first rule that stops the packets for certain, and before it those that may.
  std::vector<Stop> stops;
  // The foreign rule that accepts all of them before our rules are asked.
  std::optional<Place> accepted;
};

Fate fate_in(const HostTable& table, const Probe& probe);

}  // namespace mb::plan
