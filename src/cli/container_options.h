// SPDX-License-Identifier: GPL-2.0-or-later
//
// The options that `run` and `create` share, and what they come to.
#pragma once

#include <string>
#include <vector>

#include "src/model/change.h"

namespace CLI {
class App;
}

namespace mb::cli {

struct NetworkOptions {
  std::vector<std::string> networks;
  std::vector<std::string> publish;
  std::vector<std::string> expose;
  bool publish_all = false;
  std::string ip;
  std::string ip6;
  std::vector<std::string> aliases;
  std::string mac_address;
  std::string hostname;
  std::vector<std::string> dns;
  std::vector<std::string> dns_search;
  std::vector<std::string> add_hosts;
  std::vector<std::string> sysctls;
};

void add_network_options(CLI::App& verb, NetworkOptions& options);

struct ContainerDraft {
  std::vector<Change> before;  // the default network on first use
  change::AddContainer add;
  std::vector<std::string> names_of_gateway;  // --add-host NAME:host-gateway: the address is known with the network
};

// Throws Error(usage) with position and reason for each word that cannot be meant.
ContainerDraft draft_container(const NetworkOptions& options, const Name& name, std::int64_t now);

// The default network, made on first use.
change::AddNetwork default_network(std::int64_t now);

}  // namespace mb::cli
