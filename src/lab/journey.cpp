// SPDX-License-Identifier: GPL-2.0-or-later
#include "src/lab/journey.h"

#include <algorithm>
#include <map>
#include <set>
#include <string_view>
#include <tuple>
#include <utility>

#include <fmt/format.h>

namespace mb::lab {
namespace {

// The two rewritings of NAT have their places (HOOK2MANIP in the kernel's nf_nat_core.c): the destination before the routing
// decision, the source after it; the same holds for undoing them in the answer.
void mark_changes(std::vector<Hop>& hops) {
  for (std::size_t i = 1; i < hops.size(); ++i) {
    const Hop& before = hops[i - 1];
    Hop& hop = hops[i];
    if (before.dest != hop.dest) {
      hop.dest_changed_in = before.kind == Hop::at_socket ? Hook::output : Hook::prerouting;
    }
    if (before.source != hop.source)
      hop.source_changed_in = hop.kind == Hop::at_socket ? Hook::input : Hook::postrouting;
  }
}

Hop hop_of(const Packet& packet) {
  return {
      Hop::at_interface, packet.at.place, packet.at.interface, packet.direction, packet.source, packet.dest, {}, {}};
}

Hop socket_at(const Place& place, const SocketAddress& source, const SocketAddress& dest) {
  return {Hop::at_socket, place, {}, Direction::in, source, dest, {}, {}};
}

// The first packet of one direction at each interface; what follows it on the same way adds nothing.
std::vector<Hop> interfaces_passed(const std::vector<Packet>& packets, bool reply) {
  std::vector<Hop> hops;
  std::set<std::pair<InterfacePlace, Direction>> passed;
  for (const auto& packet : packets) {
    if (packet.reply == reply && passed.emplace(packet.at, packet.direction).second) hops.push_back(hop_of(packet));
  }
  return hops;
}

class JourneyBuilder {
 public:
  JourneyBuilder(const Request& request, const Observation& observed) : request_(request), observed_(observed) {}

  Journey build() {
    Journey journey;
    journey.outcome = observed_.outcome;
    if (!observed_.packets.empty()) journey.protocol = observed_.packets.front().protocol;
    journey.request = request_hops();
    journey.reply = reply_hops(journey.request);
    mark_changes(journey.request);
    mark_changes(journey.reply);
    for (const auto& entry : observed_.tracked) {
      if (took_part(entry, journey)) {
        journey.memories.push_back(
            {entry.at, entry.original_source, entry.original_dest, entry.reply_source, entry.reply_dest});
      }
    }
    return journey;
  }

 private:
  SocketAddress target() const { return {request_.to, request_.to_port}; }

  std::vector<Hop> request_hops() const {
    std::vector<Hop> hops;
    if (observed_.client) hops.push_back(socket_at(request_.from, *observed_.client, target()));
    const auto passed = interfaces_passed(observed_.packets, false);
    hops.insert(hops.end(), passed.begin(), passed.end());
    if (observed_.seen && !passed.empty()) {
      hops.push_back(socket_at(passed.back().place, observed_.seen->source, observed_.seen->destination));
    }
    return hops;
  }

  std::vector<Hop> reply_hops(const std::vector<Hop>& request) const {
    std::vector<Hop> hops;
    const auto passed = interfaces_passed(observed_.packets, true);
    if (passed.empty()) return hops;
    if (observed_.seen && !request.empty() && request.back().kind == Hop::at_socket) {
      hops.push_back(socket_at(request.back().place, observed_.seen->destination, observed_.seen->source));
    }
    hops.insert(hops.end(), passed.begin(), passed.end());
    if (observed_.client && observed_.outcome.kind == Outcome::reached) {
      hops.push_back(socket_at(request_.from, target(), *observed_.client));
    }
    return hops;
  }

  static bool took_part(const Tracked& entry, const Journey& journey) {
    return entry.protocol == journey.protocol &&
           std::any_of(journey.request.begin(), journey.request.end(), [&](const Hop& hop) {
             return hop.source == entry.original_source && hop.dest == entry.original_dest;
           });
  }

  const Request& request_;
  const Observation& observed_;
};

// ---- ports that look the same in every run

class PortNames {
 public:
  explicit PortNames(const std::vector<std::uint16_t>& keep) : keep_(keep.begin(), keep.end()) {}

  void settle(SocketAddress& address) {
    if (address.port == 0 || keep_.contains(address.port)) return;
    constexpr std::uint16_t kFirst = 50001;
    const auto next = static_cast<std::uint16_t>(kFirst + names_.size());
    address.port = names_.try_emplace(address.port, next).first->second;
  }

 private:
  std::set<std::uint16_t> keep_;
  std::map<std::uint16_t, std::uint16_t> names_;
};

bool is_drawn(std::string_view interface) {
  constexpr std::size_t kLength = 14;
  return interface.size() == kLength && interface.starts_with("mb") &&
         interface.find_first_not_of("0123456789abcdef", 2) == std::string_view::npos;
}

}  // namespace

std::string_view to_string(Hook hook) {
  switch (hook) {
    case Hook::prerouting: return "PREROUTING";
    case Hook::input: return "INPUT";
    case Hook::forward: return "FORWARD";
    case Hook::output: return "OUTPUT";
    case Hook::postrouting: return "POSTROUTING";
  }
  return "PREROUTING";
}

Journey journey_of(const Request& request, const Observation& observation) {
  return JourneyBuilder(request, observation).build();
}

Journey with_stable_ports(Journey journey, const std::vector<std::uint16_t>& keep) {
  PortNames names(keep);
  for (auto* hops : {&journey.request, &journey.reply}) {
    for (Hop& hop : *hops) {
      names.settle(hop.source);
      names.settle(hop.dest);
    }
  }
  for (Memory& memory : journey.memories) {
    for (auto* address : {&memory.original_source, &memory.original_dest, &memory.reply_source, &memory.reply_dest}) {
      names.settle(*address);
    }
  }
  return journey;
}

Journey with_stable_interfaces(Journey journey) {
  std::map<std::string, std::string> names;
  for (auto* hops : {&journey.request, &journey.reply}) {
    for (Hop& hop : *hops) {
      if (!is_drawn(hop.interface)) continue;
      const auto next = fmt::format("mb{:012}", names.size() + 1);
      hop.interface = names.try_emplace(hop.interface, next).first->second;
    }
  }
  return journey;
}

}  // namespace mb::lab
