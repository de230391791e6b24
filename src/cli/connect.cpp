// SPDX-License-Identifier: GPL-2.0-or-later
//
// network connect, disconnect
#include <memory>

#include <fmt/format.h>
#include <CLI/CLI.hpp>

#include "src/base/error.h"
#include "src/cli/container_options.h"
#include "src/cli/context.h"
#include "src/cli/draw.h"
#include "src/cli/endpoint_options.h"
#include "src/cli/verbs.h"
#include "src/engine/session.h"

namespace mb::cli {
namespace {

struct ConnectOptions {
  EndpointOptions endpoint;
  std::string container;
};

// What others have put into the container's namespace decides the name of the interface and the default route.
void look_inside(const Context& context, const Container& container, change::Connect& connect) {
  const bool has_namespace =
      container.attachment != Attachment::host &&
      (container.kind != ContainerKind::process || engine::is_running(context.setup(), container));
  if (!has_namespace) return;
  const auto session = engine::open_session(context.setup());
  auto contents =
      session.kernel->inspect_namespace(fmt::format("{}/netns/{}", context.globals.state_dir, container.id));
  connect.taken_links = std::move(contents.links);
  connect.default_routes = std::move(contents.foreign_default_routes);
}

void connect_container(Context& context, const ConnectOptions& options) {
  if (options.endpoint.network == "none" || options.endpoint.network == "host") {
    throw Error(ErrorKind::usage, fmt::format("'{}' is no network to be connected to", options.endpoint.network),
                "'minibridge network ls' lists networks");
  }
  change::Connect connect;
  connect.endpoint = endpoint_request(options.endpoint);
  connect.draw = draw_number();
  const auto container = context.container(*context.state(), options.container);
  connect.container = container.id;
  require_privilege();
  look_inside(context, container, connect);
  std::vector<Change> changes;
  if (options.endpoint.network == kDefaultNetwork) changes.emplace_back(default_network(context.setup().now()));
  changes.emplace_back(std::move(connect));
  context.change(changes);
}

struct DisconnectOptions {
  std::string network;
  std::string container;
  bool force = false;
};

void disconnect_container(Context& context, const DisconnectOptions& options) {
  context.change({change::Disconnect{options.container, options.network, options.force}});
}

template <class Options>
CLI::App* add_verb_for_both(CLI::App& network, const char* name, const char* what, const char* example,
                            Options& options, std::string& network_name) {
  auto* verb = add_verb(network, name, what, example);
  verb->add_option("NETWORK", network_name, "name or id of the network")->required();
  verb->add_option("CONTAINER", options.container, "name or id of the container")->required();
  return verb;
}

}  // namespace

void add_connect_verbs(CLI::App& network, Context& context) {
  auto connect = std::make_shared<ConnectOptions>();
  auto& endpoint = connect->endpoint;
  auto* verb = add_verb_for_both(network, "connect", "put a container into a further network",
                                 "minibridge network connect --ip 10.20.0.9 --gw-priority 1 backend web", *connect,
                                 endpoint.network);
  verb->add_option("--ip", endpoint.ip, "a fixed IPv4 address");
  verb->add_option("--ip6", endpoint.ip6, "a fixed IPv6 address");
  verb->add_option("--mac-address", endpoint.mac_address, "a fixed MAC address");
  verb->add_option("--alias", endpoint.aliases, "a further name in this network (repeatable)")
      ->take_all()
      ->allow_extra_args(false);
  verb->add_option("--gw-priority", endpoint.gateway_priority,
                   "of a container's networks the one with the highest gets the default route; default: 0");
  verb->add_option("--sysctl", endpoint.sysctls,
                   "net.KEY=VALUE of the interface, for whose name IFNAME stands (repeatable)")
      ->take_all()
      ->allow_extra_args(false);
  verb->callback([connect, &context] { connect_container(context, *connect); });

  auto disconnect = std::make_shared<DisconnectOptions>();
  auto* back = add_verb_for_both(network, "disconnect", "take a container out of a network",
                                 "minibridge network disconnect backend web", *disconnect, disconnect->network);
  back->add_flag("-f,--force", disconnect->force, "no error if it is not in the network");
  back->callback([disconnect, &context] { disconnect_container(context, *disconnect); });
}

}  // namespace mb::cli
