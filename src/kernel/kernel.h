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
#include <string>
#include <vector>

#include "src/model/facts.h"
#include "src/model/kernel_state.h"
#include "src/model/step.h"

namespace mb {
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
  // `undoing`: the step takes something back; what is not there any more is no error.
  virtual void apply(const Step& step, bool undoing = false) = 0;

  virtual Features features() = 0;
  // Routes of all tables of the namespace, default routes left out.
  virtual std::vector<Route> routes(Family family) = 0;
  virtual std::vector<IpAddress> local_addresses(Family family) = 0;
  // Sockets that listen (TCP, SCTP) or are bound (UDP).
  virtual std::vector<Listener> listeners(Protocol protocol) = 0;
  // "nginx (pid 812)", or nothing if it cannot be found out.
  virtual std::optional<std::string> holder_of(const Listener& listener) = 0;
  // net.ipv4.ip_local_port_range
  virtual PortRange ephemeral_ports() = 0;
  // Names of the interfaces and whether a default route exists in the namespace at `path`.
  struct NamespaceContents {
    std::vector<std::string> links;
    bool default_route_v4 = false;
    bool default_route_v6 = false;
  };
  virtual NamespaceContents inspect_namespace(const std::string& path) = 0;
  // SO_NETNS_COOKIE of the present network namespace.
  virtual std::uint64_t namespace_cookie() = 0;
};

class SpareNamespace;  // src/kernel/namespaces.h

// Begins to make a namespace aside. Making one takes a third of the whole attaching and needs nothing but itself.
std::shared_ptr<SpareNamespace> begin_namespace(Worker& worker);

struct Config {
  Identity identity;
  std::string state_dir;
  std::string link_dir = "/run/netns";              // where `ip netns` looks
  std::shared_ptr<SpareNamespace> spare = nullptr;  // taken by the first step that needs a new namespace
};

// The real one, for the calling thread's network namespace.
std::unique_ptr<Kernel> make_kernel(Config config);

}  // namespace mb::kernel
