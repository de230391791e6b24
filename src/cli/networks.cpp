// SPDX-License-Identifier: GPL-2.0-or-later
//
// network create, ls, inspect, rm, prune
#include <algorithm>
#include <memory>

#include <fmt/format.h>
#include <CLI/CLI.hpp>

#include "src/base/error.h"
#include "src/base/text.h"
#include "src/cli/context.h"
#include "src/cli/draw.h"
#include "src/cli/json.h"
#include "src/cli/output.h"
#include "src/cli/verbs.h"

namespace mb::cli {
namespace {

struct CreateOptions {
  std::string name;
  std::vector<std::string> subnets;
  std::string gateway;
  std::string range;
  std::vector<std::string> aux_addresses;
  std::string bridge;
  std::uint32_t mtu = 0;
  std::vector<std::string> labels;
  bool internal = false;
  bool masquerade = true;
  std::string snat_to;
};

void settle_labels(change::AddNetwork& add, const std::vector<std::string>& labels) {
  for (const auto& label : labels) {
    Scanner scan("label", label, "for example --label owner=ci");
    const auto key = scan.until("=");
    if (key.empty()) scan.fail("expected a key");
    scan.accept('=');
    add.labels[std::string(key)] = scan.rest();
  }
}

change::AddNetwork parse_create(const Context& context, const CreateOptions& options) {
  change::AddNetwork add;
  add.name = Name::parse(options.name);
  if (options.name == "none" || options.name == "host") {
    throw Error(ErrorKind::usage,
                fmt::format("'{}' has a meaning of its own and cannot be a network's name", options.name));
  }
  add.id = draw_hex(12);
  add.bridge = !options.bridge.empty()     ? InterfaceName::parse(options.bridge)
               : options.name == "default" ? InterfaceName::parse("minibridge0")
                                           : InterfaceName::parse("mb" + add.id);
  if (options.subnets.size() > 1) {
    throw Error(ErrorKind::usage, "a network has one subnet",
                "make a second network, and let containers be in both (--network twice)");
  }
  if (!options.subnets.empty()) add.subnet = Subnet::parse(options.subnets.front());
  if (!options.gateway.empty()) add.gateway = IpAddress::parse(options.gateway);
  if (!options.range.empty()) add.range = Subnet::parse(options.range);
  for (const auto& text : options.aux_addresses) {
    // docker writes NAME=ADDRESS; the name is for people only.
    add.reserved.push_back(IpAddress::parse(text.substr(text.find('=') + 1)));
  }
  add.mtu = options.mtu;
  add.internal = options.internal;
  add.masquerade = options.masquerade;
  if (!options.snat_to.empty()) add.snat_to = IpAddress::parse(options.snat_to);
  settle_labels(add, options.labels);
  add.created_at = context.setup().now();
  return add;
}

void create_network(Context& context, const CreateOptions& options) {
  const auto add = parse_create(context, options);
  if (!context.globals.dry_run) require_privilege();
  context.change({add}, {add.id});
}

void list_networks(const Context& context, bool quiet) {
  const auto networks = context.state()->networks();
  if (quiet) {
    for (const auto& network : networks) print_line(network.id);
  } else if (context.globals.json()) {
    print_line(json_of_networks(networks));
  } else {
    std::vector<std::vector<std::string>> rows;
    for (const auto& network : networks) {
      const auto* pool = network.pool(Family::v4);
      rows.push_back({network.id, network.name.str(), network.bridge.str(), pool == nullptr ? "-" : pool->subnet.str(),
                      pool == nullptr ? "-" : pool->gateway.str(), std::string(to_string(network.mode))});
    }
    print_table({"ID", "NAME", "BRIDGE", "SUBNET", "GATEWAY", "MODE"}, rows);
  }
}

void remove_networks(Context& context, const std::vector<std::string>& names) {
  if (!context.globals.dry_run) require_privilege();
  std::vector<Change> changes;
  for (const auto& name : names) changes.emplace_back(change::RemoveNetwork{name});
  context.change(changes, names);
}

void prune_networks(Context& context) {
  const auto state = context.state();
  std::vector<std::string> unused;
  for (const auto& network : state->networks()) {
    if (network.name.str() != "default" && state->endpoint_count(network.id) == 0) unused.push_back(network.name.str());
  }
  if (!unused.empty()) remove_networks(context, unused);
}

void inspect_networks(const Context& context, const std::vector<std::string>& names) {
  const auto state = context.state();
  const auto containers = state->containers();
  std::vector<std::string> objects;
  for (const auto& name : names) objects.push_back(describe(context.network(*state, name), containers));
  print_line(json_list(objects));
}

CLI::App* add_verb(CLI::App& app, const char* name, const char* what, const char* example) {
  auto* verb = app.add_subcommand(name, what);
  verb->set_help_flag("--help", "show this help");
  verb->footer(fmt::format("Example: minibridge network {}", example));
  return verb;
}

void add_create(CLI::App& app, Context& context) {
  auto options = std::make_shared<CreateOptions>();
  auto* verb = add_verb(app, "create", "make a network", "create --subnet 10.20.0.0/24 backend");
  verb->add_option("--subnet", options->subnets, "its addresses; default: a free subnet of the pools")
      ->take_all()
      ->allow_extra_args(false);
  verb->add_option("--gateway", options->gateway, "the bridge's address; default: the first one");
  verb->add_option("--ip-range", options->range, "give addresses out of this part only");
  verb->add_option("--aux-address", options->aux_addresses, "[NAME=]ADDRESS that is never given out (repeatable)")
      ->take_all()
      ->allow_extra_args(false);
  verb->add_option("--bridge-name", options->bridge, "the bridge's name; default: drawn");
  verb->add_option("--mtu", options->mtu, "largest packet in bytes; default: the kernel's")
      ->check(CLI::Range(68, 65535));
  verb->add_flag("--internal", options->internal, "nothing passes between it and the rest of the world");
  verb->add_option("--masquerade", options->masquerade, "false: containers go out under their own addresses")
      ->default_str("true");
  verb->add_option("--snat-to", options->snat_to, "containers go out under this address of the host");
  verb->add_option("--label", options->labels, "KEY[=VALUE] (repeatable)")->take_all()->allow_extra_args(false);
  verb->add_option("NAME", options->name, "its name")->required();
  verb->callback([options, &context] { create_network(context, *options); });
}

}  // namespace

void add_network_verbs(CLI::App& app, Context& context) {
  auto* network = app.add_subcommand("network", "make, list and remove networks");
  network->set_help_flag("--help", "show this help");
  network->require_subcommand(1);
  network->fallthrough();
  add_create(*network, context);

  auto quiet = std::make_shared<bool>(false);
  auto* ls = add_verb(*network, "ls", "list networks", "ls");
  ls->add_flag("-q,--quiet", *quiet, "ids only");
  ls->callback([quiet, &context] { list_networks(context, *quiet); });

  auto shown = std::make_shared<std::vector<std::string>>();
  auto* inspect = add_verb(*network, "inspect", "describe networks in full, as JSON", "inspect default");
  inspect->add_option("NAME", *shown, "names or ids")->required();
  inspect->callback([shown, &context] { inspect_networks(context, *shown); });

  auto removed = std::make_shared<std::vector<std::string>>();
  auto* rm = add_verb(*network, "rm", "remove networks without containers", "rm backend");
  rm->add_option("NAME", *removed, "names or ids")->required();
  rm->callback([removed, &context] { remove_networks(context, *removed); });

  auto* prune = add_verb(*network, "prune", "remove all networks without containers, but not the default one", "prune");
  prune->callback([&context] { prune_networks(context); });
}

}  // namespace mb::cli
