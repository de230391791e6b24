// SPDX-License-Identifier: GPL-2.0-or-later
#include "src/plan/diagnose_rules.h"

#include <algorithm>
#include <map>
#include <set>
#include <tuple>

#include <fmt/format.h>

#include "src/base/text.h"
#include "src/model/chains.h"
#include "src/plan/questions.h"
#include "src/plan/walk.h"

namespace mb::plan {
namespace {

bool concerns(const HostTable& table, Family family) {
  if (table.family == "inet") return true;
  return table.family == (family == Family::v4 ? "ip" : "ip6");
}

bool is_nat(const HostTable& table) { return table.backend == Backend::legacy && table.name == "nat"; }

// Our jumps go to the top when the first network is made; until then theirs say nothing about it.
bool is_asked(const Question& question, const HostTable& table) {
  if (!concerns(table, question.probe.family)) return false;
  const bool has_our_jumps = table.name == "filter" || table.name == "nat";
  if (question.assumed && table.backend == Backend::legacy && has_our_jumps) return false;
  return !is_nat(table) || question.way == Way::to_port;
}

// Debian's `iptables` is iptables-nft: built-in chains in capitals, in tables of the old names.
bool is_iptables_nft(const HostTable& table, std::string_view base) {
  if (table.backend != Backend::nf_tables || (table.family != "ip" && table.family != "ip6")) return false;
  return base == "PREROUTING" || base == "INPUT" || base == "FORWARD" || base == "OUTPUT" || base == "POSTROUTING";
}

bool is_ufw(const HostTable& table) {
  return std::any_of(table.chains.begin(), table.chains.end(),
                     [](const HostChain& chain) { return chain.name.starts_with("ufw"); });
}

std::string_view iptables_word(const HostTable& table) {
  if (table.backend == Backend::legacy) return table.family == "ip" ? "iptables-legacy" : "ip6tables-legacy";
  return table.family == "ip" ? "iptables-nft" : "ip6tables-nft";
}

std::string table_option(const HostTable& table) {
  return table.name == "filter" ? std::string() : fmt::format(" -t {}", table.name);
}

// --- what was seen ---------------------------------------------------------------------------------------------------

std::string writer_of(const Place& place) {
  if (place.table->backend != Backend::nf_tables) return {};
  if (is_ufw(*place.table)) return ", which ufw wrote,";
  if (place.table->name == "firewalld") return ", which firewalld wrote,";
  if (is_iptables_nft(*place.table, place.base)) return fmt::format(", which {} wrote,", iptables_word(*place.table));
  return {};
}

std::string table_words(const Place& place) {
  return place.table->backend == Backend::legacy
             ? fmt::format("the {} table '{}'", place.table->family == "ip" ? "legacy iptables" : "legacy ip6tables",
                           place.table->name)
             : fmt::format("the nf_tables table '{} {}'", place.table->family, place.table->name);
}

std::string rule_words(const Place& place) {
  const bool legacy = place.table->backend == Backend::legacy;
  std::string words = fmt::format("rule {}{} of chain '{}'", legacy ? "" : "handle ", place.rule->handle, place.chain);
  if (legacy) words += fmt::format(" ({})", print(place.chain, place.rule->rule));
  return words;
}

std::string where(const Place& place) {
  const std::string via = place.chain == place.base ? "" : fmt::format(", entered from '{}',", place.base);
  if (place.rule == nullptr) {
    return fmt::format("chain '{}' of {}{} has policy DROP, and no rule in it accepts them", place.base,
                       table_words(place), writer_of(place));
  }
  auto words = fmt::format("{}{} in {}{}", rule_words(place), via, table_words(place), writer_of(place));
  if (words.ends_with(',')) words.pop_back();
  return words;
}

// --- what lets them through ------------------------------------------------------------------------------------------

// Conditions in the words of both languages.
struct Exemption {
  std::string iptables;
  std::string nft;
  auto operator<=>(const Exemption&) const = default;
};

std::string port_words(const PortRange& ports, char between) {
  return ports.count() == 1 ? fmt::format("{}", ports.first) : fmt::format("{}{}{}", ports.first, between, ports.last);
}

Exemption exemption_for(const Question& question) {
  const auto& probe = question.probe;
  auto from = Exemption{fmt::format("-i {}", question.bridge), fmt::format("iifname \"{}\"", question.bridge)};
  auto to = Exemption{fmt::format("-o {}", question.bridge), fmt::format("oifname \"{}\"", question.bridge)};
  switch (question.way) {
    case Way::to_port: {
      const auto protocol = to_string(probe.protocol.value_or(Protocol::tcp));
      const auto ports = probe.destination_ports.value_or(PortRange{});
      return {fmt::format("-p {} --dport {}", protocol, port_words(ports, ':')),
              fmt::format("{} dport {}", protocol, port_words(ports, '-'))};
    }
    case Way::ask_host: return {from.iptables + " -p udp --dport 53", from.nft + " udp dport 53"};
    case Way::answers: return {"-m conntrack --ctstate RELATED,ESTABLISHED", "ct state established,related"};
    case Way::among: return from;
    case Way::out_of:
      if (probe.hook != Hook::postrouting) return from;
      return {
          fmt::format("-s {}", probe.source.value_or(Subnet()).str()),
          fmt::format("{} saddr {}", probe.family == Family::v4 ? "ip" : "ip6", probe.source.value_or(Subnet()).str())};
    case Way::into:
    case Way::from_host:
    case Way::uninvited: break;
  }
  return to;
}

std::string accept_command(const Place& place, const Exemption& exemption) {
  const auto& table = *place.table;
  if (table.backend == Backend::legacy || is_iptables_nft(table, place.base)) {
    return fmt::format("{}{} -I {} {} -j ACCEPT", iptables_word(table), table_option(table), place.base,
                       exemption.iptables);
  }
  return fmt::format("nft insert rule {} {} {} {} accept", table.family, table.name, place.base, exemption.nft);
}

// Tools that write their rules anew from time to time must be told themselves.
std::string tool_command(const Place& place, const Question& question) {
  if (place.table->name == "firewalld") {
    return fmt::format("firewall-cmd --permanent --zone=trusted --add-interface={} && firewall-cmd --reload",
                       question.bridge);
  }
  if (!is_ufw(*place.table)) return {};
  switch (question.way) {
    case Way::into: return fmt::format("ufw route allow out on {}", question.bridge);
    case Way::out_of: return fmt::format("ufw route allow in on {}", question.bridge);
    case Way::ask_host: return fmt::format("ufw allow in on {} to any port 53 proto udp", question.bridge);
    default: return {};
  }
}

// `repair` puts a jump that is missing to the top of its chain.
std::string to_the_top(const Place& place) {
  const auto* base = place.table->chain(place.base);
  std::vector<std::string> commands;
  for (auto entry = base->rules.rbegin(); entry != base->rules.rend(); ++entry) {
    const auto* jump = std::get_if<target::Jump>(&entry->rule.target);
    if (jump == nullptr || !jump->chain.starts_with(kChainPrefix)) continue;
    commands.push_back(fmt::format("{}{} -D {} {}", iptables_word(*place.table), table_option(*place.table), place.base,
                                   entry->handle));
  }
  commands.emplace_back("minibridge repair");
  return join(commands, " && ");
}

std::string mend(const Place& place, const Question& question) {
  const auto& table = *place.table;
  if (table.backend == Backend::legacy) {
    if (place.chain == kUserChain) {
      return fmt::format("{} -D {} {}", iptables_word(table), kUserChain, place.rule->handle);
    }
    const bool ours_accept = (table.name == "filter" && question.probe.hook == Hook::forward) || table.name == "nat";
    if (ours_accept) return to_the_top(place);
  }
  const auto tool = tool_command(place, question);
  return tool.empty() ? accept_command(place, exemption_for(question)) : tool;
}

// --- findings --------------------------------------------------------------------------------------------------------

// All packets that one rule stops are one finding.
struct Culprit {
  Stop stop;
  std::vector<std::string> about;
  std::vector<std::string> commands;
};

void add_once(std::vector<std::string>& texts, const std::string& text) {
  if (std::find(texts.begin(), texts.end(), text) == texts.end()) texts.push_back(text);
}

std::string list_of(const std::vector<std::string>& about) {
  constexpr std::size_t kShown = 4;
  std::vector<std::string> shown(about.begin(),
                                 about.begin() + static_cast<std::ptrdiff_t>(std::min(kShown, about.size())));
  if (about.size() > kShown) shown.push_back(fmt::format("{} more", about.size() - kShown));
  if (shown.size() == 1) return shown.front();
  const std::string last = shown.back();
  shown.pop_back();
  return join(shown, ", ") + " and " + last;
}

std::string kind_of(const Stop& stop) {
  if (stop.place.table->backend == Backend::nf_tables) return stop.diverted ? "nft_takes_port" : "nft_drop";
  if (stop.place.chain == kUserChain) return "operator_drop";
  return stop.diverted ? "iptables_takes_port" : "iptables_drop";
}

std::string reason_of(const Stop& stop) {
  if (stop.diverted)
    return "the first rule that decides about the address of a packet wins, and this one comes before ours";
  if (stop.place.table->backend == Backend::nf_tables) {
    return "nf_tables and legacy iptables, where our rules are, both see every packet; a drop in either is final";
  }
  if (stop.place.chain == kUserChain) return "this is a rule of yours in MINIBRIDGE-USER, which is asked before ours";
  return "it is asked before our rules, and a drop is final";
}

Finding finding_of(const Culprit& culprit) {
  const auto& stop = culprit.stop;
  Finding finding;
  finding.weight = stop.certainty == Certainty::certain ? Weight::stops : Weight::may_stop;
  finding.kind = kind_of(stop);
  finding.seen = where(stop.place);
  const bool certain = stop.certainty == Certainty::certain;
  finding.why = fmt::format("it {} {}: {}",
                            certain ? (stop.diverted ? "takes" : "stops") : (stop.diverted ? "may take" : "may stop"),
                            list_of(culprit.about), reason_of(stop));
  finding.mend = join(culprit.commands, " && ");
  return finding;
}

class RuleDiagnosis {
 public:
  explicit RuleDiagnosis(const HostReport& report) : report_(report) {}

  void ask(const Question& question) {
    for (const auto& table : report_.tables) {
      if (!is_asked(question, table)) continue;
      const auto fate = fate_in(table, question.probe);
      if (question.way == Way::uninvited) {
        if (fate.accepted && table.backend == Backend::legacy && table.name == "filter")
          note_open(*fate.accepted, question);
        continue;
      }
      for (const auto& stop : fate.stops) note(stop, question);
    }
  }

  std::vector<Finding> take() {
    std::vector<Finding> findings;
    for (const auto& key : order_) findings.push_back(finding_of(culprits_.at(key)));
    for (const auto& open : open_) findings.push_back(open);
    return findings;
  }

 private:
  using Key = std::tuple<const HostTable*, std::string, std::string, const HostRule*>;

  void note(const Stop& stop, const Question& question) {
    const auto& place = stop.place;
    const Key key{place.table, place.base, place.chain, place.rule};
    const auto [found, is_new] = culprits_.try_emplace(key, Culprit{stop, {}, {}});
    if (is_new) order_.push_back(key);
    auto& culprit = found->second;
    if (stop.certainty == Certainty::certain) culprit.stop.certainty = Certainty::certain;
    add_once(culprit.about, question.about);
    add_once(culprit.commands, mend(place, question));
  }

  void note_open(const Place& place, const Question& question) {
    if (place.chain == kUserChain) return;  // the operator's wish
    Finding open;
    open.weight = Weight::remark;
    open.kind = "isolation_open";
    open.seen = fmt::format("{} stands before our jump and accepts", where(place));
    open.why = fmt::format(
        "whoever has a route reaches {} on ports that are not published: our rules, which "
        "would drop it, are not asked",
        question.about);
    open.mend = to_the_top(place);
    if (std::find(open_.begin(), open_.end(), open) == open_.end()) open_.push_back(open);
  }

  const HostReport& report_;
  std::map<Key, Culprit> culprits_;
  std::vector<Key> order_;
  std::vector<Finding> open_;
};

}  // namespace

std::vector<Finding> diagnose_rules(const HostReport& report, const std::vector<Network>& networks,
                                    const std::vector<Container>& containers) {
  RuleDiagnosis diagnosis(report);
  for (const auto& question : questions_about(report, networks, containers)) diagnosis.ask(question);
  return diagnosis.take();
}

}  // namespace mb::plan
