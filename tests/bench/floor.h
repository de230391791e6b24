// SPDX-License-Identifier: GPL-2.0-or-later
//
// The floor: what the kernel itself needs to attach a container, and nothing else.
//
// The same links with the same attributes, the same address, route, rule, pin, symlink and files as the engine makes,
// by the shortest program that can be written for it: messages built by hand into one buffer and sent as one batch,
// one acknowledgement for the batch, libiptc under the lock of iptables. It looks at nothing, keeps no state, decides
// nothing and takes nothing back. Whatever the engine takes beyond it is the price of doing it safely.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "netns/unique_fd.h"
#include "src/model/address.h"

namespace mb::bench {

// A container to attach. Everything is worked out before the clock starts.
struct Order {
  std::string id;         // of its pin and its directory
  std::string link_name;  // in /run/netns
  std::string host_link;
  std::string alias;
  std::uint32_t group = 0;
  MacAddress mac;
  IpAddress address;
  int prefix = 0;
  IpAddress gateway;
  std::vector<std::uint8_t> rule;  // for the publish chain, as setsockopt takes it; empty: none
  std::string hosts, hostname, resolv_conf;
};

class Floor {
 public:
  // `directory` is where pins and files go (it must not be the engine's), `bridge` is there already.
  Floor(std::string directory, const std::string& bridge);

  void attach(const Order& order);
  // Takes it away again, one thing after the other; never timed.
  void detach(const Order& order);

  // The kernel deletes all links of a group in one go.
  static void delete_group(std::uint32_t group);

 private:
  struct Inside;
  Inside make_namespace() const;
  void write_files(const Order& order) const;

  std::string directory_;
  int bridge_ = 0;
  int peer_index_ = 0;  // what number the kernel gives the first link of a new namespace
};

// The rules of a table, counted from the kernel's own copy of it.
std::size_t count_rules(const std::string& table);

}  // namespace mb::bench
