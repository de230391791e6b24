// SPDX-License-Identifier: GPL-2.0-or-later
//
// Where the name server of a network finds what it serves, below the state directory.
#pragma once

#include <string>
#include <string_view>

#include "src/model/objects.h"

namespace mb {

constexpr std::string_view kNamesDirectory = "names";
constexpr std::string_view kNameServerConfig = "dnsmasq.conf";
constexpr std::string_view kNameRecords = "hosts";

// names/NETWORK: what the server sees.
inline std::string name_directory(const Id& network) { return std::string(kNamesDirectory) + "/" + network; }
// names/NETWORK/dnsmasq.conf
inline std::string name_server_config_path(const Id& network) {
  return name_directory(network) + "/" + std::string(kNameServerConfig);
}
// names/NETWORK/hosts/CONTAINER
inline std::string name_records_path(const Id& network, const Id& container) {
  return name_directory(network) + "/" + std::string(kNameRecords) + "/" + container;
}
inline bool is_name_file(std::string_view path) { return path.starts_with("names/"); }

}  // namespace mb
