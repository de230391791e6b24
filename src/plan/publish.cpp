// SPDX-License-Identifier: GPL-2.0-or-later
#include "src/plan/publish.h"

#include <algorithm>
#include <set>

#include <fmt/format.h>

#include "src/base/error.h"
#include "src/plan/allocate.h"

namespace mb::plan {
namespace {

// The words of `unpublish` may leave out more: "80" means "127.0.0.1:8080:80", too.
bool is_meant(const PublishedPort& port, const PublishSpec& words) {
  return port.protocol == words.protocol && port.container_ports == words.container_ports &&
         (!words.host_ports || *words.host_ports == port.host_ports) &&
         (!words.host_address || *words.host_address == port.host_address);
}

enum class Path : std::uint8_t { through_the_host, straight };

// Whether somebody outside can reach a port of the container: through a port of the host, or, in a routed network, under
// the container's own address.
bool is_reachable(const Container& container, Family family, Path way, const Draft& draft) {
  return std::any_of(container.endpoints.begin(), container.endpoints.end(), [&](const Endpoint& endpoint) {
    const auto network = draft.network(endpoint.network);
    const bool routed = network.mode == NetworkMode::routed;
    return endpoint.address(family) != nullptr && !network.internal && routed == (way == Path::straight);
  });
}

bool is_reachable(const Container& container, Family family, const Draft& draft) {
  return is_reachable(container, family, Path::through_the_host, draft) ||
         is_reachable(container, family, Path::straight, draft);
}

// A specification that names an address of the host is about that address, and opens nothing under the container's own.
bool opens_straight(const PublishSpec& spec, Family family) {
  return !spec.host_address || (spec.host_address->is_any() && spec.host_address->family() == family);
}

// The families in which a specification takes a port of the host.
std::vector<Family> families_of(const Container& container, const PublishSpec& spec, const Draft& draft) {
  std::vector<Family> families;
  for (const auto family : {Family::v4, Family::v6}) {
    if (spec.host_address && spec.host_address->family() != family) continue;
    if (is_reachable(container, family, Path::through_the_host, draft)) families.push_back(family);
  }
  return families;
}

// The ports of one specification, one per family with the same numbers: those it has, and new ones where it has none.
std::vector<PublishedPort> settled(const PublishSpec& spec, std::vector<PublishedPort> kept, const Container& container,
                                   const Draft& draft, const HostFacts& facts, std::uint64_t draw) {
  std::vector<Family> missing = families_of(container, spec, draft);
  std::erase_if(kept, [&](const PublishedPort& port) {
    return std::find(missing.begin(), missing.end(), port.host_address.family()) == missing.end();
  });
  std::erase_if(missing, [&](Family family) {
    return std::any_of(kept.begin(), kept.end(),
                       [&](const auto& port) { return port.host_address.family() == family; });
  });
  if (missing.empty()) return kept;
  PublishSpec wanted = spec;
  if (!kept.empty()) wanted.host_ports = kept.front().host_ports;
  auto fresh = settle_port(wanted, missing, container.ports, draft, facts, draw);
  kept.insert(kept.end(), fresh.begin(), fresh.end());
  return kept;
}

// Takes the ports that `spec` came to out of the list: those of one choice of host ports.
std::vector<PublishedPort> take_ports_of(const PublishSpec& spec, std::vector<PublishedPort>& ports) {
  std::vector<PublishedPort> taken;
  std::erase_if(ports, [&](const PublishedPort& port) {
    if (!port.comes_from(spec) || (!taken.empty() && taken.front().host_ports != port.host_ports)) return false;
    taken.push_back(port);
    return true;
  });
  return taken;
}

// The specification behind a port that is taken back: the one that says most.
void erase_spec_of(const PublishedPort& port, std::vector<PublishSpec>& specs) {
  const auto says = [](const PublishSpec& spec) { return (spec.host_ports ? 2 : 0) + (spec.host_address ? 1 : 0); };
  auto best = specs.end();
  for (auto spec = specs.begin(); spec != specs.end(); ++spec) {
    if (port.comes_from(*spec) && (best == specs.end() || says(*spec) > says(*best))) best = spec;
  }
  if (best != specs.end()) specs.erase(best);
}

// Takes one published port out, in every family in which it has the same numbers.
void erase_port(Container& container, const PublishedPort& port) {
  std::erase_if(container.ports, [&](const PublishedPort& other) {
    const bool same_address =
        other.host_address == port.host_address || (other.host_address.is_any() && port.host_address.is_any());
    return same_address && other.protocol == port.protocol && other.host_ports == port.host_ports &&
           other.container_ports == port.container_ports;
  });
  erase_spec_of(port, container.publish);
}

// In a routed network a specification comes to no port of the host: however many open a port, it is one.
bool forget_unsettled(Container& container, const PublishSpec& words) {
  return std::erase_if(container.publish, [&](const PublishSpec& spec) {
           return spec.protocol == words.protocol && spec.container_ports == words.container_ports &&
                  (!words.host_ports || spec.host_ports == words.host_ports) &&
                  (!words.host_address || spec.host_address == words.host_address) &&
                  std::none_of(container.ports.begin(), container.ports.end(),
                               [&](const PublishedPort& port) { return port.comes_from(spec); });
         }) > 0;
}

void check_has_a_way(const PublishSpec& spec, const Container& container, const Draft& draft) {
  const auto family = spec.host_address->family();
  if (is_reachable(container, family, Path::through_the_host, draft)) return;
  const bool straight = is_reachable(container, family, Path::straight, draft);
  if (straight && opens_straight(spec, family)) return;
  if (straight) {
    throw Error(ErrorKind::usage,
                fmt::format("cannot publish '{}': container '{}' is in routed networks only, where no address of the "
                            "host leads to it",
                            spec.str(), container.name.str()),
                "leave the address out to open the port of the container itself, or put it into a network of mode nat "
                "as well");
  }
  throw Error(ErrorKind::usage,
              fmt::format("cannot publish '{}': container '{}' has no {} address that could be reached", spec.str(),
                          container.name.str(), to_string(family)),
              "put it into a network that has one (network create --ipv6)");
}

}  // namespace

void check_can_publish(const Container& container, const Draft& draft) {
  if (container.publish.empty()) return;
  if (container.endpoints.empty()) {
    throw Error(ErrorKind::usage,
                fmt::format("container '{}' cannot publish ports: it is in no network", container.name.str()),
                container.attachment == Attachment::host ? "with --network host its ports are the host's own" : "");
  }
  if (!is_reachable(container, Family::v4, draft) && !is_reachable(container, Family::v6, draft)) {
    throw Error(
        ErrorKind::usage,
        fmt::format("container '{}' cannot publish ports: it is in internal networks only", container.name.str()),
        "put it into a second network that is not internal (--network twice)");
  }
  for (const auto& spec : container.publish) {
    if (spec.host_address) check_has_a_way(spec, container, draft);
  }
}

void settle_ports(Container& container, const Draft& draft, const HostFacts& facts, std::uint64_t draw) {
  auto before = std::move(container.ports);
  container.ports.clear();
  for (const auto& spec : container.publish) {
    const auto ports = settled(spec, take_ports_of(spec, before), container, draft, facts, draw);
    container.ports.insert(container.ports.end(), ports.begin(), ports.end());
  }
}

void unpublish(Container& container, const PublishSpec& spec) {
  if (forget_unsettled(container, spec)) return;
  std::set<PortRange> meant;
  const PublishedPort* found = nullptr;
  for (const auto& port : container.ports) {
    if (!is_meant(port, spec)) continue;
    meant.insert(port.host_ports);
    found = &port;
  }
  if (meant.size() != 1) {
    throw Error(meant.empty() ? ErrorKind::not_found : ErrorKind::usage,
                meant.empty() ? fmt::format("container '{}' has not published '{}'", container.name.str(), spec.str())
                              : fmt::format("'{}' means {} published ports of container '{}'", spec.str(), meant.size(),
                                            container.name.str()),
                fmt::format("'minibridge port {}' lists them", container.name.str()));
  }
  erase_port(container, PublishedPort(*found));
}

std::vector<PublishedPort> routed_ports(const Container& container, const std::vector<Network>& networks) {
  std::vector<PublishedPort> ports;
  for (const auto& endpoint : container.endpoints) {
    const auto network =
        std::find_if(networks.begin(), networks.end(), [&](const Network& n) { return n.id == endpoint.network; });
    if (network == networks.end() || network->mode != NetworkMode::routed) continue;
    for (const auto& held : endpoint.addresses) {
      for (const auto& spec : container.publish) {
        if (!held.address || !opens_straight(spec, held.family)) continue;
        const PublishedPort port{*held.address, spec.container_ports, spec.container_ports, spec.protocol};
        if (std::find(ports.begin(), ports.end(), port) == ports.end()) ports.push_back(port);
      }
    }
  }
  return ports;
}

void take_over(Draft& draft, const Container& heir, const PublishSpec& spec) {
  if (!spec.host_ports) {
    throw Error(ErrorKind::usage, fmt::format("'{}' names no host port that could be taken over", spec.str()),
                "for example 8080:80");
  }
  for (const auto& holder : draft.published_in(spec.protocol, *spec.host_ports)) {
    const bool same_address = !spec.host_address || holder.port.host_address == *spec.host_address;
    if (!same_address || holder.container == heir.name.str()) continue;
    if (holder.port.host_ports != *spec.host_ports) {
      throw Error(ErrorKind::conflict,
                  fmt::format("cannot take over '{}': container '{}' has published '{}' as a whole", spec.str(),
                              holder.container, holder.port.str()),
                  "name the same range of host ports");
    }
    const auto before = draft.container(holder.container);
    Container after = before;
    erase_port(after, holder.port);
    draft.change(before, std::move(after));
  }
}

}  // namespace mb::plan
