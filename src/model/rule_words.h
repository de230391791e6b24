// SPDX-License-Identifier: GPL-2.0-or-later
//
// The words of iptables for the values of a rule, in one place for printing and for reading.
#pragma once

#include <array>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "src/model/rule.h"

namespace mb::words {

// In the order in which iptables prints them.
inline constexpr std::array<std::pair<std::uint16_t, std::string_view>, 7> kConnStates = {{
    {match::kInvalid, "INVALID"},
    {match::kNew, "NEW"},
    {match::kRelated, "RELATED"},
    {match::kEstablished, "ESTABLISHED"},
    {match::kUntracked, "UNTRACKED"},
    {match::kSnat, "SNAT"},
    {match::kDnat, "DNAT"},
}};

inline constexpr std::array<std::pair<match::AddressType, std::string_view>, 4> kAddressTypes = {{
    {match::AddressType::unicast, "UNICAST"},
    {match::AddressType::local, "LOCAL"},
    {match::AddressType::broadcast, "BROADCAST"},
    {match::AddressType::multicast, "MULTICAST"},
}};

inline constexpr std::array<std::pair<std::uint8_t, std::string_view>, 5> kProtocols = {{
    {6, "tcp"},
    {17, "udp"},
    {132, "sctp"},
    {1, "icmp"},
    {58, "ipv6-icmp"},
}};

template <class Words, class Value>
std::optional<std::string_view> word_of(const Words& words, Value value) {
  for (const auto& [candidate, word] : words) {
    if (candidate == value) return word;
  }
  return std::nullopt;
}

template <class Words>
auto value_of(const Words& words, std::string_view word) -> std::optional<decltype(words[0].first)> {
  for (const auto& [value, candidate] : words) {
    if (candidate == word) return value;
  }
  return std::nullopt;
}

inline std::string address_type(match::AddressType type) {
  return std::string(word_of(kAddressTypes, type).value_or("UNKNOWN"));
}

inline std::string protocol(std::uint8_t number) {
  if (const auto word = word_of(kProtocols, number)) return std::string(*word);
  return std::to_string(number);
}

}  // namespace mb::words
