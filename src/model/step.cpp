// SPDX-License-Identifier: GPL-2.0-or-later
#include "src/model/step.h"

#include <algorithm>

#include <fmt/format.h>

#include "src/base/overloaded.h"
#include "src/base/text.h"

namespace mb {
namespace {

template <class T, class Text>
std::string join_first(const std::vector<T>& all, Text text_of) {
  constexpr std::size_t kShown = 4;
  std::string text;
  for (std::size_t i = 0; i < all.size() && i < kShown; ++i) text += (i > 0 ? ", " : "") + text_of(all[i]);
  if (all.size() > kShown) text += fmt::format(" and {} more", all.size() - kShown);
  return text;
}

std::string join_names(const std::vector<InterfaceName>& links) {
  return join_first(links, [](const InterfaceName& link) { return link.str(); });
}

class StepPrinter {
 public:
  explicit StepPrinter(const NameOf& name_of) : name_of_(name_of) {}

  std::string operator()(const step::PinNamespace& s) const {
    return s.source.empty() ? fmt::format("make a network namespace for {}", name(s.container))
                            : fmt::format("pin the network namespace of {} ({})", name(s.container), s.source);
  }
  std::string operator()(const step::UnpinNamespaces& s) const {
    return fmt::format("let go of the network namespace{} of {}", s.containers.size() == 1 ? "" : "s",
                       join_first(s.containers, [this](const Id& id) { return name(id); }));
  }
  std::string operator()(const step::LinkNamespace& s) const {
    return fmt::format("name it '{}' for ip netns", s.link_name);
  }
  std::string operator()(const step::UnlinkNamespace& s) const {
    return fmt::format("take the name '{}' from ip netns", s.link_name);
  }
  std::string operator()(const step::AddBridge& s) const {
    return fmt::format("add bridge {} ({})", s.bridge.name.str(), s.bridge.mac.str());
  }
  std::string operator()(const step::AddVeth& s) const {
    return fmt::format("add veth {} in {}{}{}, its peer {} ({}) in {}", s.veth.host.str(), s.veth.bridge.str(),
                       s.veth.hairpin ? " hairpin on" : "", s.veth.isolated ? " isolated on" : "", s.veth.peer.str(),
                       s.veth.mac.str(), name(s.veth.container));
  }
  std::string operator()(const step::ChangeLink& s) const {
    return fmt::format("set {}:{}", where(s.link), changes(s.to));
  }
  std::string operator()(const step::AddAddress& s) const {
    return fmt::format("add address {} to {}", s.address.str(), where(s.link));
  }
  std::string operator()(const step::DeleteAddress& s) const {
    return fmt::format("delete address {} from {}", s.address.str(), where(s.link));
  }
  std::string operator()(const step::AddDefaultRoute& s) const {
    return fmt::format("add route default via {} on {}", s.gateway.str(), where(s.link));
  }
  std::string operator()(const step::DeleteDefaultRoute& s) const {
    return fmt::format("delete route default via {} on {}", s.gateway.str(), where(s.link));
  }
  std::string operator()(const step::Announce& s) const {
    std::vector<std::string> addresses;
    for (const auto& address : s.addresses) addresses.push_back(address.str());
    return fmt::format("tell the neighbours of {} that {} is at {}", where(s.link), join(addresses, ", "), s.mac.str());
  }
  std::string operator()(const step::TakeLinksDown& s) const { return "take down " + join_names(s.links); }
  std::string operator()(const step::DeleteLinks& s) const { return "delete " + join_names(s.links); }
  std::string operator()(const step::SetSysctl& s) const {
    return fmt::format("set {} = {}{}{}", s.key.name, s.to.value,
                       s.before.value.empty() ? "" : fmt::format(" (was {})", s.before.value),
                       s.key.container.empty() ? "" : " in " + name(s.key.container));
  }
  std::string operator()(const step::CommitRules& s) const {
    const auto count = [&](step::RuleEdit::Kind kind) {
      return std::count_if(s.edits.begin(), s.edits.end(), [kind](const auto& edit) { return edit.kind == kind; });
    };
    using Kind = step::RuleEdit::Kind;
    std::string text =
        fmt::format("commit table {}{}:", to_string(s.table.table), s.table.family == Family::v6 ? " (IPv6)" : "");
    if (const auto n = count(Kind::add_chain); n > 0) text += fmt::format(" +{} chain{}", n, n == 1 ? "" : "s");
    if (const auto n = count(Kind::insert); n > 0) text += fmt::format(" +{} rule{}", n, n == 1 ? "" : "s");
    if (const auto n = count(Kind::remove); n > 0) text += fmt::format(" -{} rule{}", n, n == 1 ? "" : "s");
    if (const auto n = count(Kind::remove_chain); n > 0) text += fmt::format(" -{} chain{}", n, n == 1 ? "" : "s");
    return text;
  }
  std::string operator()(const step::WriteFile& s) const { return "write " + s.path; }
  std::string operator()(const step::RemoveFile& s) const { return "remove " + s.path; }
  std::string operator()(const step::MakeDirectory& s) const {
    return fmt::format("make the directory of {}", name(s.container));
  }
  std::string operator()(const step::RemoveDirectory& s) const {
    return fmt::format("remove the directory of {}", name(s.container));
  }
  std::string operator()(const step::DeleteFlows& s) const {
    return fmt::format("forget {} flow{} of connection tracking", s.flows.size(), s.flows.size() == 1 ? "" : "s");
  }
  std::string operator()(const step::StartNameServer& s) const {
    return fmt::format("start the name server of network {}", name(s.network));
  }
  std::string operator()(const step::StopNameServer& s) const {
    return fmt::format("stop the name server of network {}", name(s.network));
  }

 private:
  std::string name(const Id& id) const { return fmt::format("'{}'", name_of_ ? name_of_(id) : id); }
  std::string where(const LinkRef& link) const {
    return link.container.empty() ? link.name.str() : fmt::format("{} in {}", link.name.str(), name(link.container));
  }
  static std::string changes(const step::LinkChange& to) {
    std::string text;
    if (to.mac) text += " address " + to.mac->str();
    if (to.mtu) text += fmt::format(" mtu {}", *to.mtu);
    if (to.master) text += to.master->str().empty() ? " no master" : " master " + to.master->str();
    if (to.hairpin) text += *to.hairpin ? " hairpin on" : " hairpin off";
    if (to.isolated) text += *to.isolated ? " isolated on" : " isolated off";
    if (to.filters_frames) text += *to.filters_frames ? " nf_call_iptables on" : " nf_call_iptables off";
    if (to.route_localnet) text += *to.route_localnet ? " route_localnet on" : " route_localnet off";
    if (to.accept_ra) text += fmt::format(" accept_ra {}", *to.accept_ra);
    if (to.alias) text += fmt::format(" alias '{}'", *to.alias);
    if (to.up) text += *to.up ? " up" : " down";
    return text;
  }

  const NameOf& name_of_;
};

// Edits are undone last first, so every position is again what it was when the edit was made.
step::RuleEdit inverse_edit(step::RuleEdit edit) {
  using Kind = step::RuleEdit::Kind;
  switch (edit.kind) {
    case Kind::add_chain: edit.kind = Kind::remove_chain; break;
    case Kind::remove_chain: edit.kind = Kind::add_chain; break;
    case Kind::insert: edit.kind = Kind::remove; break;
    case Kind::remove: edit.kind = Kind::insert; break;
  }
  return edit;
}

}  // namespace

std::string print(const Step& step, const NameOf& name_of) { return std::visit(StepPrinter(name_of), step); }

std::string print_rules(const Step& step) {
  const auto* commit = std::get_if<step::CommitRules>(&step);
  if (commit == nullptr) return {};
  std::string text = fmt::format("*{}\n", to_string(commit->table.table));
  using Kind = step::RuleEdit::Kind;
  for (const auto& edit : commit->edits) {
    switch (edit.kind) {
      case Kind::add_chain: text += fmt::format(":{} - [0:0]\n", edit.chain); break;
      case Kind::remove_chain: text += fmt::format("-X {}\n", edit.chain); break;
      case Kind::remove: text += fmt::format("-D {} {}\n", edit.chain, print(edit.rule)); break;
      case Kind::insert:
        text += edit.position == step::RuleEdit::kEnd
                    ? fmt::format("-A {} {}\n", edit.chain, print(edit.rule))
                    : fmt::format("-I {} {} {}\n", edit.chain, edit.position + 1, print(edit.rule));
        break;
    }
  }
  return text + "COMMIT\n";
}

std::string_view kind_name(const Step& step) {
  return std::visit(Overloaded{
                        [](const step::PinNamespace&) { return "pin_namespace"; },
                        [](const step::UnpinNamespaces&) { return "unpin_namespaces"; },
                        [](const step::LinkNamespace&) { return "link_namespace"; },
                        [](const step::UnlinkNamespace&) { return "unlink_namespace"; },
                        [](const step::AddBridge&) { return "add_bridge"; },
                        [](const step::AddVeth&) { return "add_veth"; },
                        [](const step::ChangeLink&) { return "change_link"; },
                        [](const step::AddAddress&) { return "add_address"; },
                        [](const step::DeleteAddress&) { return "delete_address"; },
                        [](const step::AddDefaultRoute&) { return "add_default_route"; },
                        [](const step::DeleteDefaultRoute&) { return "delete_default_route"; },
                        [](const step::Announce&) { return "announce"; },
                        [](const step::TakeLinksDown&) { return "take_links_down"; },
                        [](const step::DeleteLinks&) { return "delete_links"; },
                        [](const step::SetSysctl&) { return "set_sysctl"; },
                        [](const step::CommitRules&) { return "commit_rules"; },
                        [](const step::WriteFile&) { return "write_file"; },
                        [](const step::RemoveFile&) { return "remove_file"; },
                        [](const step::MakeDirectory&) { return "make_directory"; },
                        [](const step::RemoveDirectory&) { return "remove_directory"; },
                        [](const step::DeleteFlows&) { return "delete_flows"; },
                        [](const step::StartNameServer&) { return "start_name_server"; },
                        [](const step::StopNameServer&) { return "stop_name_server"; },
                    },
                    step);
}

std::optional<Step> inverse(const Step& step) {
  using Result = std::optional<Step>;
  return std::visit(Overloaded{
                        [](const step::PinNamespace& s) -> Result { return step::UnpinNamespaces{{s.container}}; },
                        [](const step::LinkNamespace& s) -> Result {
                          return step::UnlinkNamespace{s.container, s.link_name};
                        },
                        [](const step::AddBridge& s) -> Result { return step::DeleteLinks{{s.bridge.name}}; },
                        [](const step::AddVeth& s) -> Result { return step::DeleteLinks{{s.veth.host}}; },
                        [](const step::ChangeLink& s) -> Result {
                          if (s.before.empty()) return std::nullopt;  // the link itself is new and goes as a whole
                          return step::ChangeLink{s.link, s.before, s.to};
                        },
                        [](const step::AddAddress& s) -> Result {
                          return step::DeleteAddress{s.link, s.address};
                        },
                        [](const step::AddDefaultRoute& s) -> Result {
                          return step::DeleteDefaultRoute{s.link, s.gateway};
                        },
                        [](const step::DeleteDefaultRoute& s) -> Result {
                          return step::AddDefaultRoute{s.link, s.gateway};
                        },
                        [](const step::SetSysctl& s) -> Result {
                          if (s.before.value.empty()) return std::nullopt;  // its namespace is new and goes as a whole
                          return step::SetSysctl{s.key, s.before, s.to};
                        },
                        [](const step::CommitRules& s) -> Result {
                          step::CommitRules back{s.table, {}};
                          for (auto edit = s.edits.rbegin(); edit != s.edits.rend(); ++edit)
                            back.edits.push_back(inverse_edit(*edit));
                          return back;
                        },
                        [](const step::WriteFile& s) -> Result {
                          if (!s.before) return step::RemoveFile{s.path, s.content};
                          return step::WriteFile{s.path, *s.before, s.content};
                        },
                        [](const step::MakeDirectory& s) -> Result { return step::RemoveDirectory{s.container}; },
                        [](const step::StartNameServer& s) -> Result { return step::StopNameServer{s.network}; },
                        [](const auto&) -> Result { return std::nullopt; },
                    },
                    step);
}

}  // namespace mb
