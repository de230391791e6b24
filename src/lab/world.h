// SPDX-License-Identifier: GPL-2.0-or-later
//
// A world that stands: the nodes of a topology as namespaces, seen from the process that holds them.
//
// That process (see hold.h) is the first of the lab's own pid namespace, so its end is the end of everything in the lab.
// Each node is a network, a mount and a uts namespace: its own links, its own /run and /sys, /etc/hosts with the names of
// all nodes, its own host name. Switches are bridges in the holder's network namespace, which is no node.
// For a process with one thread: commands are forked from it.
#pragma once

#include <chrono>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <variant>

#include "netns/command.h"
#include "netns/namespace.h"
#include "src/container/process.h"
#include "src/lab/room.h"
#include "src/lab/topology.h"

namespace mb::lab {

class World {
 public:
  // Builds it; throws Error with what could not be done. To be called by the lab's first process (see hold.h).
  explicit World(Topology topology);
  World(const World&) = delete;
  World& operator=(const World&) = delete;

  const Topology& topology() const { return topology_; }
  // Throws Error(not_found).
  const Rooms& rooms(std::string_view node) const;
  const netns::Namespace& network(std::string_view node) const { return rooms(node).network; }

  // Runs a function in the node's network namespace, for sockets and captures: netns::run_in.
  template <class Function>
  auto in_node(std::string_view node, Function function) const {
    return netns::run_in(network(node), std::move(function));
  }

  // Runs a command in the node to its end and keeps what it prints. After `patience` it is killed, with all that it
  // started in its session: then `timed_out` is set and the status is 137.
  struct Result {
    int status = 0;  // 128 + signal; 126, 127 when it cannot be executed, with the sentence in `err`
    std::string out;
    std::string err;
    bool timed_out = false;
  };
  Result run(std::string_view node, netns::Command command, std::chrono::milliseconds patience) const;

  // Starts one that runs beside us; it is killed when the Child goes.
  netns::Child start(std::string_view node, netns::Command command, netns::Streams streams = {}) const;

  // A test server or command of the topology's kind that runs until it is stopped (or the lab ends). The test server
  // accepts connections when this returns.
  void start_service(std::string_view node, const Service& service);
  // Throws Error(not_found) when no such service runs there.
  void stop_service(std::string_view node, std::string_view name);
  bool is_running(std::string_view node, std::string_view name) const;

  // Whether the lab has user ids besides 0 (only one made by root has): what `--uid-owner` needs.
  static bool has_user_ids();
  // Whether iptables can be shown what passes a bridge without being routed (a kernel module that not every machine has loaded).
  static bool has_br_netfilter();
  // Whether the lab may read the kernel's log: where kernel.dmesg_restrict is 1, only the machine's own root may.
  static bool has_kernel_log();

  // The lab no longer ends with the process that started it, and lets go of its terminal.
  static void detach();
  // Nothing but collecting the dead, until it is killed.
  [[noreturn]] static void stay();

 private:
  // The test server is a fork of ours, everything else a command.
  using Running = std::variant<container::Prepared, netns::Child>;

  netns::Command inside(std::string_view node, netns::Command command) const;
  netns::Child run_in_background(std::string_view node, const Service& service) const;
  void run_setup(const Node& node) const;

  Topology topology_;
  std::map<std::string, Rooms> rooms_;
  std::map<std::pair<std::string, std::string>, Running> services_;  // node and name of the service
};

}  // namespace mb::lab
