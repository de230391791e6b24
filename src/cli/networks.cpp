// SPDX-License-Identifier: GPL-2.0-or-later
//
// network create, ls, inspect, rm, prune
#include <algorithm>
#include <memory>
#include <optional>

#include <fmt/format.h>
#include <CLI/CLI.hpp>

#include "src/base/error.h"
#include "src/base/text.h"
#include "src/cli/context.h"
#include "src/cli/draw.h"
#include "src/cli/json.h"
#include "src/cli/output.h"
#include "src/cli/parsing.h"
#include "src/cli/verbs.h"

namespace mb::cli {
namespace {

struct NetworkCreateOptions {
  std::string name;
  std::vector<std::string> subnets;
  std::vector<std::string> gateways;
  std::vector<std::string> ranges;
  std::vector<std::string> aux_addresses;
  std::string bridge;
  std::uint32_t mtu = 0;
  std::vector<std::string> labels;
  std::string mode = "nat";
  bool ipv6 = false;
  bool icc = true;
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

// The pool that an address or subnet of this family belongs to; asking for one of IPv6 asks for IPv6.
change::PoolRequest& pool_of(change::AddNetwork& add, Family family) {
  if (family == Family::v4) return add.v4;
  if (!add.v6) add.v6.emplace();
  return *add.v6;
}

// A value given at most once for each family.
template <class T>
void settle_once(std::optional<T>& place, const T& value, std::string_view what, Family family) {
  if (place) {
    throw Error(ErrorKind::usage, fmt::format("a network has one {} {} of its own", to_string(family), what),
                "make a second network, and let containers be in both (--network twice)");
  }
  place = value;
}

void settle_pools(change::AddNetwork& add, const NetworkCreateOptions& options) {
  if (options.ipv6) add.v6.emplace();
  for (const auto& text : options.subnets) {
    const auto subnet = Subnet::parse(text);
    settle_once(pool_of(add, subnet.family()).subnet, subnet, "subnet", subnet.family());
  }
  for (const auto& text : options.gateways) {
    const auto gateway = IpAddress::parse(text);
    settle_once(pool_of(add, gateway.family()).gateway, gateway, "gateway", gateway.family());
  }
  for (const auto& text : options.ranges) {
    const auto range = Subnet::parse(text);
    settle_once(pool_of(add, range.family()).range, range, "range", range.family());
  }
  for (const auto& text : options.aux_addresses) {
    // docker writes NAME=ADDRESS; the name is for people only.
    const auto address = IpAddress::parse(text.substr(text.find('=') + 1));
    pool_of(add, address.family()).reserved.push_back(address);
  }
}

change::AddNetwork parse_create(const Context& context, const NetworkCreateOptions& options) {
  change::AddNetwork add;
  add.name = Name::parse(options.name);
  if (options.name == "none" || options.name == "host") {
    throw Error(ErrorKind::usage,
                fmt::format("'{}' has a meaning of its own and cannot be a network's name", options.name));
  }
  add.id = draw_hex(12);
  add.bridge = !options.bridge.empty()           ? InterfaceName::parse(options.bridge)
               : options.name == kDefaultNetwork ? InterfaceName::parse("minibridge0")
                                                 : InterfaceName::parse("mb" + add.id);
  settle_pools(add, options);
  add.adopt = !options.bridge.empty();
  add.mode = parse_network_mode(options.mode);
  add.mtu = options.mtu;
  add.icc = options.icc;
  add.internal = options.internal;
  add.masquerade = options.masquerade;
  if (!options.snat_to.empty()) add.snat_to = IpAddress::parse(options.snat_to);
  settle_labels(add, options.labels);
  add.created_at = context.setup().now();
  return add;
}

void create_network(Context& context, const NetworkCreateOptions& options) {
  const auto add = parse_create(context, options);
  context.change({add}, {add.id});
}

// Those that pass every filter: label=KEY, label=KEY=VALUE, and label!=… for those without.
class Filter {
 public:
  explicit Filter(const std::vector<std::string>& filters) {
    for (const auto& text : filters) conditions_.push_back(parse(text));
  }

  bool passes(const Network& network) const {
    return std::all_of(conditions_.begin(), conditions_.end(), [&](const Condition& condition) {
      const auto label = network.labels.find(condition.key);
      const bool has = label != network.labels.end() && (!condition.value || label->second == *condition.value);
      return has == condition.wanted;
    });
  }

 private:
  struct Condition {
    std::string key;
    std::optional<std::string> value;
    bool wanted = true;
  };

  static Condition parse(const std::string& text) {
    Scanner scan("filter", text, "for example label=owner=ci, or label!=keep");
    Condition condition;
    if (scan.until("=!") != "label") scan.fail_at(0, "only labels can be filtered by");
    condition.wanted = !scan.accept('!');
    scan.expect('=');
    condition.key = scan.until("=");
    if (condition.key.empty()) scan.fail("expected the key of a label");
    if (scan.accept('=')) condition.value = scan.rest();
    return condition;
  }

  std::vector<Condition> conditions_;
};

struct ListOptions {
  bool quiet = false;
  std::vector<std::string> filters;
};

void list_networks(const Context& context, const ListOptions& options) {
  const Filter filter(options.filters);
  auto networks = context.state()->networks();
  std::erase_if(networks, [&](const Network& network) { return !filter.passes(network); });
  const bool quiet = options.quiet;
  if (quiet) {
    for (const auto& network : networks) print_line(network.id);
  } else if (context.globals.json()) {
    print_line(json_of_networks(networks));
  } else {
    std::vector<std::vector<std::string>> rows;
    for (const auto& network : networks) {
      std::vector<std::string> subnets;
      std::vector<std::string> gateways;
      for (const auto& pool : network.pools) {
        subnets.push_back(pool.subnet.str());
        gateways.push_back(pool.gateway.str());
      }
      rows.push_back({network.id, network.name.str(), network.bridge.str(), join(subnets, ", "), join(gateways, ", "),
                      std::string(to_string(network.mode))});
    }
    print_table({"ID", "NAME", "BRIDGE", "SUBNET", "GATEWAY", "MODE"}, rows);
  }
}

void remove_networks(Context& context, const std::vector<std::string>& names) {
  std::vector<Change> changes;
  for (const auto& name : names) changes.emplace_back(change::RemoveNetwork{name});
  context.change(changes, names);
}

void prune_networks(Context& context, const std::vector<std::string>& filters) {
  const Filter filter(filters);
  const auto state = context.state();
  std::vector<std::string> unused;
  for (const auto& network : state->networks()) {
    const bool spared = network.name.str() == kDefaultNetwork || !filter.passes(network);
    if (!spared && state->endpoint_count(network.id) == 0) unused.push_back(network.name.str());
  }
  if (!unused.empty() || context.globals.dry_run) remove_networks(context, unused);
}

void inspect_networks(const Context& context, const std::vector<std::string>& names) {
  const auto state = context.state();
  const auto containers = state->containers();
  std::vector<std::string> objects;
  for (const auto& name : names) objects.push_back(describe(context.network(*state, name), containers));
  print_line(json_list(objects));
}

void add_create(CLI::App& app, Context& context) {
  auto options = std::make_shared<NetworkCreateOptions>();
  auto* verb = add_verb(app, "create", "make a network", "minibridge network create --subnet 10.20.0.0/24 backend");
  verb->add_option("--subnet", options->subnets,
                   "its addresses, once for IPv4 and once for IPv6; default: a free one of the pools")
      ->take_all()
      ->allow_extra_args(false);
  verb->add_option("--gateway", options->gateways, "the bridge's address; default: the first one")
      ->take_all()
      ->allow_extra_args(false);
  verb->add_option("--ip-range", options->ranges, "give addresses out of this part only")
      ->take_all()
      ->allow_extra_args(false);
  verb->add_option("--aux-address", options->aux_addresses, "[NAME=]ADDRESS that is never given out (repeatable)")
      ->take_all()
      ->allow_extra_args(false);
  verb->add_option("--bridge-name", options->bridge,
                   "the bridge's name; one that is there already is used and left there; default: drawn");
  expect_number(verb->add_option("--mtu", options->mtu, "largest packet in bytes; default: the uplink's"), 68, 65535);
  verb->add_flag("--ipv6", options->ipv6, "IPv6 as well");
  verb->add_option("--mode", options->mode, "nat, routed or unprotected: how containers are seen from outside")
      ->default_str("nat");
  verb->add_option("--icc", options->icc, "false: its containers do not reach each other directly")
      ->default_str("true");
  verb->add_flag("--internal", options->internal, "nothing passes between it and the rest of the world");
  verb->add_option("--masquerade", options->masquerade, "false: containers go out under their own addresses")
      ->default_str("true");
  verb->add_option("--snat-to", options->snat_to, "containers go out under this address of the host");
  verb->add_option("--label", options->labels, "KEY[=VALUE] (repeatable)")->take_all()->allow_extra_args(false);
  verb->add_option("NAME", options->name, "its name")->required();
  verb->callback([options, &context] { create_network(context, *options); });
}

void add_filter(CLI::App& verb, std::vector<std::string>& filters) {
  verb.add_option("--filter", filters, "label=KEY[=VALUE], or label!=KEY[=VALUE] (repeatable: all must hold)")
      ->take_all()
      ->allow_extra_args(false);
}

}  // namespace

void add_network_verbs(CLI::App& app, Context& context) {
  auto* network = app.add_subcommand("network", "make, list and remove networks");
  network->set_help_flag("-h,--help", "show this help");
  network->require_subcommand(1);
  network->fallthrough();
  add_create(*network, context);
  add_connect_verbs(*network, context);

  auto list = std::make_shared<ListOptions>();
  auto* ls = add_verb(*network, "ls", "list networks", "minibridge network ls --filter label=owner=ci");
  ls->add_flag("-q,--quiet", list->quiet, "ids only");
  add_filter(*ls, list->filters);
  ls->callback([list, &context] { list_networks(context, *list); });

  auto shown = std::make_shared<std::vector<std::string>>();
  auto* inspect =
      add_verb(*network, "inspect", "describe networks in full, as JSON", "minibridge network inspect default");
  inspect->add_option("NAME", *shown, "names or ids")->required();
  inspect->callback([shown, &context] { inspect_networks(context, *shown); });

  auto removed = std::make_shared<std::vector<std::string>>();
  auto* rm = add_verb(*network, "rm", "remove networks without containers", "minibridge network rm backend");
  rm->add_option("NAME", *removed, "names or ids")->required();
  rm->callback([removed, &context] { remove_networks(context, *removed); });

  auto filters = std::make_shared<std::vector<std::string>>();
  auto* prune = add_verb(*network, "prune", "remove all networks without containers, but not the default one",
                         "minibridge network prune --filter label=owner=ci");
  add_filter(*prune, *filters);
  prune->add_flag("-f,--force")->description("for those who are used to it: nothing is asked anyway");
  prune->callback([filters, &context] { prune_networks(context, *filters); });
}

}  // namespace mb::cli
