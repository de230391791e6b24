// SPDX-License-Identifier: GPL-2.0-or-later
//
// What is there, of what minibridge owns: the actual state that a plan starts from and that is compared again at its end.
//
// Asked link by link and by name, never from a cache, so that a verb costs the same on a host of one container and of
// a thousand. This single RTM_GETLINK of the host's end, of the container's end and of the bridge has a second use:
// the kernel delivers changes of carrier state late, and until then it drops what is sent over a new link. In one of
// five attaches the first ARP request was lost that way, and the first packet took a second. Answering RTM_GETLINK
// makes the kernel settle the state of that link (a dump does not), so an attach that ends with an observation is ready.
#pragma once

#include <map>
#include <string>

#include "src/kernel/files.h"
#include "src/kernel/links.h"
#include "src/kernel/namespaces.h"
#include "src/kernel/netlink.h"
#include "src/model/kernel_state.h"

namespace mb::kernel {

// Bridges, veths, namespaces, directories and files: all of a KernelState but rules, sysctls and flows.
class Observer {
 public:
  Observer(const Identity& identity, Socket& host, Namespaces& namespaces, const Files& files)
      : identity_(identity), host_(host), namespaces_(namespaces), files_(files) {}

  Actual observe(const Scope& scope) &&;

 private:
  // With everything that carries our mark, where that is asked for.
  Scope widened(const Scope& scope);
  void observe_bridge(const InterfaceName& name);
  void observe_veth(const Scope& scope, const InterfaceName& name, Id container);
  void observe_peer(const Scope& scope, VethState& veth, const Link& host);
  void observe_namespace(const Scope& scope, const Id& container, const std::string& link_name);
  void observe_leftovers(const Scope& scope);
  void observe_directory(const Scope& scope, const Id& container);
  InterfaceName bridge_name(int index);
  Id container_by_number(int number);

  const Identity& identity_;
  Socket& host_;
  Namespaces& namespaces_;
  const Files& files_;
  Actual actual_;
  std::map<InterfaceName, Link> going_;  // host ends of containers that are going
  std::map<int, InterfaceName> bridge_names_;
  std::map<int, Id> containers_by_number_;  // of everything that is pinned; filled once when it is needed
  bool numbered_ = false;
};

}  // namespace mb::kernel
