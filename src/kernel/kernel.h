// SPDX-License-Identifier: GPL-2.0-or-later
//
// The only code that talks to the kernel about networks. An interface, so that a test can hand in its own and a
// decorator can make any step fail.
//
// Promises: a step either happens or throws mb::Error with the kernel's own sentence; applying an inverse step is
// tolerant of what is already gone; nothing without our mark is changed; nothing here remembers anything.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "src/model/facts.h"
#include "src/model/host_report.h"
#include "src/model/kernel_state.h"
#include "src/model/step.h"

namespace netns {
class Worker;
}

namespace mb::kernel {

// What this kernel can do.
struct Features {
  bool devgroup = true;        // the devgroup match of iptables
  bool link_directory = true;  // /run/netns can be written
};

class Kernel {
 public:
  Kernel() = default;
  Kernel(const Kernel&) = delete;
  Kernel& operator=(const Kernel&) = delete;
  virtual ~Kernel() = default;

  virtual Actual observe(const Scope& scope) = 0;
  // `undoing`: the step takes something back; what is not there any more, or there already, is no error.
  virtual void apply(const Step& step, bool undoing = false) = 0;

  virtual Features features() = 0;
  // Whether iptables is asked about frames that any bridge passes on. Nothing while br_netfilter is not loaded: then it
  // cannot be had for a single bridge either.
  virtual std::optional<bool> filters_bridged_frames(Family family) = 0;
  // Routes of all tables of the namespace, default routes left out.
  virtual std::vector<Route> routes(Family family) = 0;
  virtual std::vector<IpAddress> local_addresses(Family family) = 0;
  // Nothing if there is no link of that name.
  virtual std::optional<FoundLink> host_link(const InterfaceName& name) = 0;
  // Sockets that listen (TCP, SCTP) or are bound (UDP).
  virtual std::vector<Listener> listeners(Protocol protocol) = 0;
  // "nginx (pid 812)", or nothing if it cannot be found out.
  virtual std::optional<std::string> holder_of(const Listener& listener) = 0;
  // net.ipv4.ip_local_port_range
  virtual PortRange ephemeral_ports() = 0;
  // What is in the namespace at `path`: its cookie, the names of its interfaces, the families that have a default route.
  struct NamespaceContents {
    std::uint64_t cookie = 0;  // as namespace_cookie()
    std::vector<std::string> links;
    std::set<Family> default_routes;          // families in which there is one
    std::set<Family> foreign_default_routes;  // of these, those that do not carry our protocol number
  };
  virtual NamespaceContents inspect_namespace(const std::string& path) = 0;
  // Text that names this machine and stays the same: /etc/machine-id; empty if there is none.
  virtual std::string machine_id() = 0;
  // The MTU of the interface through which the default route leads; 0 if there is none.
  virtual std::uint32_t uplink_mtu() = 0;
  // Interfaces of the host with a default route or whatever else a router advertisement brought, that would neither keep it
  // nor get it again when IPv6 forwarding is switched on. None when it is on.
  virtual std::vector<std::string> following_uplinks() = 0;
  // Why this host can have no IPv6; none if it can.
  virtual std::optional<std::string> ipv6_obstacle() = 0;
  // Whether name servers can be started.
  virtual bool can_serve_names() = 0;
  // What everybody's rules and switches on this host do to packets.
  virtual HostReport report(const ReportScope& scope) = 0;
  // SO_NETNS_COOKIE of the present network namespace.
  virtual std::uint64_t namespace_cookie() = 0;
};

class NameServers;      // src/kernel/name_servers.h
class SpareNamespaces;  // src/kernel/namespaces.h

// Begins to make namespaces aside, one after the other. Making one takes a third of the whole attaching and needs nothing
// but itself. The worker must outlive them.
std::shared_ptr<SpareNamespaces> begin_namespaces(netns::Worker& worker, std::size_t count);

// Whether anybody's rules could be asked before ours: nf_tables, or something that stands before our jump. Two questions.
bool foreign_rules_come_first();

struct Config {
  Identity identity;
  std::string state_dir;
  std::string link_dir = "/run/netns";                  // where `ip netns` looks
  netns::Worker* worker = nullptr;                      // may take over half of the looking; outlives the kernel
  std::shared_ptr<SpareNamespaces> spare = nullptr;     // taken by the steps that need a new namespace
  std::shared_ptr<NameServers> name_servers = nullptr;  // none: networks have none
};

// The real one, for the calling thread's network namespace.
std::unique_ptr<Kernel> make_kernel(Config config);

}  // namespace mb::kernel
