// SPDX-License-Identifier: GPL-2.0-or-later
//
// A host with minibridge's engine on it and one network, for measurements inside this process.
#pragma once

#include <string>
#include <vector>

#include "netns/netns.h"
#include "src/engine/engine.h"
#include "tests/bench/floor.h"

namespace mb::bench {

inline constexpr const char* kStateDir = "/run/minibridge";
inline constexpr const char* kBridge = "minibridge0";
inline constexpr const char* kSingle = "default";  // the network that is always there: IPv4
inline constexpr const char* kDual = "dual";       // one with both families, once it is asked for

class Host {
 public:
  // Adds the default network, as the first use of the command would.
  Host();
  ~Host();
  Host(const Host&) = delete;
  Host& operator=(const Host&) = delete;

  // Containers (namespaces without a process) with these names; each publishes one port unless `port` is 0.
  void add(const std::vector<std::string>& names, std::uint16_t port = 0, const char* network = kSingle) const;
  void remove(const std::vector<std::string>& names) const;
  void add_dual_network() const;
  void publish(const std::string& name, const std::string& spec) const;
  void unpublish(const std::string& name, const std::string& spec) const;
  // So many single ports from this one on, each with a rule of its own, in one operation.
  void publish_each(const std::string& name, std::uint16_t first, int count) const;
  void unpublish_each(const std::string& name, std::uint16_t first, int count) const;

  // The same container for the floor, with a name and an address that the engine does not use.
  Order order(int number, std::uint16_t port) const;

 private:
  engine::Engine engine_;
};

// The kernel takes down a namespace in the background and holds the lock of all links meanwhile, for tens of
// milliseconds: that would fall into the next measurement. A keeper holds namespaces until the measurement is over.
class Keeper {
 public:
  void keep(const std::string& path) { kept_.push_back(netns::Namespace::open(path)); }

 private:
  std::vector<netns::Namespace> kept_;
};

// "p0" … "p99".
std::vector<std::string> names(const std::string& prefix, int count);
// The name of a container's namespace.
std::string namespace_path(const std::string& container);

}  // namespace mb::bench
