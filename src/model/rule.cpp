// SPDX-License-Identifier: GPL-2.0-or-later
//
// Printing rules the way iptables-save does. Reading them back is in rule_parse.cpp.
#include "src/model/rule.h"

#include <array>
#include <utility>

#include <fmt/format.h>

#include "src/base/overloaded.h"
#include "src/model/rule_words.h"

namespace mb {
namespace {

std::string_view bang(bool negated) { return negated ? "! " : ""; }

// As xtables_save_string does: quotes only where a shell or iptables-restore needs them.
std::string quoted(std::string_view text) {
  constexpr std::string_view kPlain = "_-0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
  if (!text.empty() && text.find_first_not_of(kPlain) == std::string_view::npos) return std::string(text);
  std::string result = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\' || c == '\'') result += '\\';
    result += c;
  }
  return result + '"';
}

std::string ports_text(const PortRange& range) {
  return range.first == range.last ? fmt::format("{}", range.first) : fmt::format("{}:{}", range.first, range.last);
}

std::string states_text(std::uint16_t states) {
  std::string text;
  for (const auto& [bit, word] : words::kConnStates) {
    if ((states & bit) == 0) continue;
    if (!text.empty()) text += ',';
    text += word;
  }
  return text;
}

// " --OPTION VALUE" or nothing.
template <class T, class Print>
std::string option(const std::optional<Negatable<T>>& wanted, std::string_view name, Print print_value) {
  if (!wanted) return {};
  return fmt::format(" {}{} {}", bang(wanted->negated), name, print_value(wanted->value));
}

std::string print_match(const Match& match, Family family) {
  return std::visit(
      Overloaded{
          [](const match::Ports& m) {
            return fmt::format("-m {}{}{}", to_string(m.protocol), option(m.source, "--sport", ports_text),
                               option(m.destination, "--dport", ports_text));
          },
          [](const match::AddrType& m) {
            return fmt::format("-m addrtype{}{}", option(m.source, "--src-type", words::address_type),
                               option(m.destination, "--dst-type", words::address_type));
          },
          [](const match::DevGroup& m) {
            const auto hex = [](std::uint32_t group) { return fmt::format("0x{:x}", group); };
            return fmt::format("-m devgroup{}{}", option(m.source, "--src-group", hex),
                               option(m.destination, "--dst-group", hex));
          },
          [](const match::ConnTrack& m) {
            return fmt::format("-m conntrack {}--ctstate {}", bang(m.negated), states_text(m.states));
          },
          [&](const match::IcmpType& m) {
            return family == Family::v4 ? fmt::format("-m icmp --icmp-type {}", m.type)
                                        : fmt::format("-m icmp6 --icmpv6-type {}", m.type);
          },
          [](const match::Comment& m) { return fmt::format("-m comment --comment {}", quoted(m.text)); },
          [](const match::Opaque& m) { return fmt::format("-m {} [{} bytes not understood]", m.name, m.data.size()); },
      },
      match);
}

std::string print_dnat(const target::Dnat& dnat) {
  std::string text = "-j DNAT --to-destination ";
  const bool brackets = dnat.address.family() == Family::v6 && dnat.ports;
  text += brackets ? fmt::format("[{}]", dnat.address.str()) : dnat.address.str();
  if (dnat.ports) text += ":" + dnat.ports->str();
  if (dnat.base) text += fmt::format("/{}", *dnat.base);
  return text;
}

std::string print_target(const Target& target) {
  return std::visit(
      Overloaded{
          [](const target::None&) { return std::string(); },
          [](const target::Accept&) { return std::string("-j ACCEPT"); },
          [](const target::Drop&) { return std::string("-j DROP"); },
          [](const target::Return&) { return std::string("-j RETURN"); },
          [](const target::Jump& t) { return "-j " + t.chain; },
          [](const target::Goto& t) { return "-g " + t.chain; },
          [](const target::Dnat& t) { return print_dnat(t); },
          [](const target::Snat& t) { return "-j SNAT --to-source " + t.address.str(); },
          [](const target::Masquerade&) { return std::string("-j MASQUERADE"); },
          [](const target::Opaque& t) { return fmt::format("-j {} [{} bytes not understood]", t.name, t.data.size()); },
      },
      target);
}

}  // namespace

std::string_view to_string(Table table) {
  constexpr std::array<std::string_view, 5> kNames = {"raw", "mangle", "nat", "filter", "security"};
  return kNames.at(static_cast<std::size_t>(table));
}

std::string_view Rule::comment() const {
  for (const auto& match : matches) {
    if (const auto* comment = std::get_if<match::Comment>(&match)) return comment->text;
  }
  return {};
}

std::string print(const Rule& rule) {
  const auto subnet = [](const Subnet& s) { return s.str(); };
  const auto text = [](const std::string& s) { return s; };
  std::string line;
  line += option(rule.source, "-s", subnet);
  line += option(rule.destination, "-d", subnet);
  line += option(rule.in, "-i", text);
  line += option(rule.out, "-o", text);
  line += option(rule.protocol, "-p", words::protocol);
  for (const auto& match : rule.matches) line += " " + print_match(match, rule.family);
  if (const auto target = print_target(rule.target); !target.empty()) line += " " + target;
  if (!line.empty()) line.erase(0, 1);
  return line;
}

std::string print(std::string_view chain, const Rule& rule) {
  const auto text = print(rule);
  return text.empty() ? fmt::format("-A {}", chain) : fmt::format("-A {} {}", chain, text);
}

std::string print(const Ruleset& rules, Family family) {
  std::string text;
  for (const auto& [key, table] : rules) {
    if (key.family != family || table.empty()) continue;
    text += fmt::format("*{}\n", to_string(key.table));
    for (const auto& [chain, ignored] : table.chains) text += fmt::format(":{} - [0:0]\n", chain);
    for (const auto& [chain, hooks] : table.hooks) {
      for (const auto& rule : hooks) text += print(chain, rule) + "\n";
    }
    for (const auto& [chain, body] : table.chains) {
      for (const auto& rule : body) text += print(chain, rule) + "\n";
    }
    text += "COMMIT\n";
  }
  return text;
}

}  // namespace mb
