// SPDX-License-Identifier: GPL-2.0-or-later
#include "src/lab/stable_text.h"

#include <regex>

#include <fmt/format.h>

namespace mb::lab {
namespace {

// Every match with its second group replaced by what `name` makes of it.
template <class Name>
std::string replaced(const std::string& text, const std::regex& pattern, Name name) {
  std::string result;
  auto rest = text.cbegin();
  for (std::smatch match; std::regex_search(rest, text.cend(), match, pattern); rest = match[2].second) {
    result.append(rest, match[2].first);
    result += name(match[2].str());
  }
  return result.append(rest, text.cend());
}

std::string without_chance(std::string text) {
  static const std::vector<std::pair<std::regex, const char*>> kChance = {
      {std::regex("[0-9.]+(/[0-9.]+)* ms"), "… ms"},                                  // ping
      {std::regex(" time [0-9]+ms"), " time …"},                                      // ping
      {std::regex(" on [A-Z][a-z]{2} [A-Z][a-z]{2} [ 0-9:]+(?=\n|$)"), " on …"},      // iptables-save
      {std::regex("\\[[0-9]*[1-9][0-9]*:[0-9]+\\]"), "[…]"},                          // iptables-save
      {std::regex("[0-9]*[1-9][0-9]* packets, [0-9]+ bytes"), "… packets, … bytes"},  // iptables -v
      {std::regex("-group 0x[0-9a-f]{8}"), "-group 0x…"},                             // minibridge's interfaces
      {std::regex("packets [0-9]*[1-9][0-9]* bytes [0-9]+"), "packets … bytes …"},    // nft
  };
  for (const auto& [pattern, word] : kChance) text = std::regex_replace(text, pattern, word);
  return text;
}

}  // namespace

void StableText::follow(const Journey& journey) {
  const auto note = [this](const SocketAddress& address) {
    if (address.port != 0) port(std::to_string(address.port));
  };
  for (const auto* hops : {&journey.request, &journey.reply}) {
    for (const Hop& hop : *hops) {
      note(hop.source);
      note(hop.dest);
    }
  }
}

std::string StableText::of(const std::string& text) {
  static const std::regex kPort("([0-9.]{7,}:|\\]:|port: )([0-9]{4,5})\\b");
  static const std::regex kDrawn("(\\b|\\bmb)([0-9a-f]{12})\\b");
  const auto ports = replaced(text, kPort, [this](const std::string& digits) { return port(digits); });
  return without_chance(replaced(ports, kDrawn, [this](const std::string& drawn) { return name(drawn); }));
}

std::string StableText::port(const std::string& digits) {
  const unsigned long number = std::stoul(digits);
  if (number > 65535 || keep_.contains(static_cast<std::uint16_t>(number))) return digits;
  constexpr std::size_t kFirst = 50001;
  return std::to_string(ports_.try_emplace(number, kFirst + ports_.size()).first->second);
}

std::string StableText::name(const std::string& drawn) {
  return fmt::format("{:012}", names_.try_emplace(drawn, names_.size() + 1).first->second);
}

}  // namespace mb::lab
