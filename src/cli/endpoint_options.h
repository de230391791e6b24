// SPDX-License-Identifier: GPL-2.0-or-later
//
// A container's place in one network as words: what --network of `run` and `create` and what `network connect` take.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "src/model/change.h"

namespace mb::cli {

struct EndpointOptions {
  std::string network;
  std::string ip{};
  std::string ip6{};
  std::string mac_address{};
  std::vector<std::string> aliases{};
  std::string gateway_priority{};
  std::vector<std::string> sysctls{};
  bool operator==(const EndpointOptions&) const = default;
};

// "NAME", or docker's longer form "name=NAME,ip=A,ip6=A,alias=N,mac-address=M,gw-priority=P,sysctl=K=V". Throws Error(usage)
// with the position.
EndpointOptions parse_network_words(const std::string& text);

// Throws Error(usage).
change::EndpointRequest endpoint_request(const EndpointOptions& options);

// "net.KEY=VALUE" of a container. Throws Error(usage).
std::pair<std::string, std::string> parse_sysctl(std::string_view text);

// Throws Error(usage).
std::string parse_host_name(const std::string& text);

}  // namespace mb::cli
